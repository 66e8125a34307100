"""What services build on a producer again and again; made of the public API only."""

from aioproducer.patterns.transactional_pool import TransactionalProducerPool

__all__ = ["TransactionalProducerPool"]
