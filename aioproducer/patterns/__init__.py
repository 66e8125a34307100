"""What services build on a producer again and again; made of the public API only."""

from aioproducer.patterns import spool
from aioproducer.patterns.circuit import CircuitRules, CircuitState
from aioproducer.patterns.circuit_breaker import CircuitBreaker
from aioproducer.patterns.circuit_changes import CircuitChange
from aioproducer.patterns.circuit_failures import counts_as_failure
from aioproducer.patterns.dead_letters import DeadLetters
from aioproducer.patterns.letter_delivery import LetterDelivery
from aioproducer.patterns.letters import DeadLetter
from aioproducer.patterns.thread_portal import ThreadPortal
from aioproducer.patterns.transactional_pool import TransactionalProducerPool
from aioproducer.patterns.wrapper import ProducerWrapper

__all__ = [
    "CircuitBreaker",
    "CircuitChange",
    "CircuitRules",
    "CircuitState",
    "DeadLetter",
    "DeadLetters",
    "LetterDelivery",
    "ProducerWrapper",
    "ThreadPortal",
    "TransactionalProducerPool",
    "counts_as_failure",
    "spool",
]
