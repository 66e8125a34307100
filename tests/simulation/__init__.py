"""A simulated world: one producer, several brokers, faults, and what must hold afterwards."""

from tests.simulation.run import Simulation

__all__ = ["Simulation"]
