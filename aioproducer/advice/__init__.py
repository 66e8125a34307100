"""Advice drawn from the user's own data."""

from aioproducer.advice.choice import CompressionAdvice, NoSampleError, recommend_compression
from aioproducer.advice.lab import Measured, Trial, measure

__all__ = [
    "CompressionAdvice",
    "Measured",
    "NoSampleError",
    "Trial",
    "measure",
    "recommend_compression",
]
