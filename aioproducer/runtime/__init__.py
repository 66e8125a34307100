"""asyncio lives here: every task, timer and socket.

Tasks own waiting and life; data moves by plain calls between the actors.
"""
