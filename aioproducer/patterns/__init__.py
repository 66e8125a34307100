"""What services build on a producer again and again; made of the public API only."""

from aioproducer.patterns import spool
from aioproducer.patterns.letters import DeadLetter
from aioproducer.patterns.thread_portal import ThreadPortal
from aioproducer.patterns.transactional_pool import TransactionalProducerPool

__all__ = ["DeadLetter", "ThreadPortal", "TransactionalProducerPool", "spool"]
