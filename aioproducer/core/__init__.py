"""Decisions: what to send, when to give up, what an answer means.

Nothing here touches the loop, a socket or a clock: the time and the source of randomness are
arguments. So each rule can be tested by calling it.
"""
