"""Bytes to values and back: the Kafka protocol without any I/O.

What may live in this room: functions and small classes that turn bytes into values or values into
bytes and depend on nothing but their arguments. No sockets, no event loop, no clock, no thread, and
no memory of earlier messages except the half-received frame that ``framing.FrameDecoder`` holds.

Whatever comes from the network is hostile until it has been parsed here: every length is checked
against the bytes that are really there before anything is allocated, and every failure is a
``MalformedResponseError``.
"""
