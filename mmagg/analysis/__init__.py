"""What a model costs: time by stage and peak memory."""

from .memory import MemoryMeter
from .stages import StageClock

__all__ = ['MemoryMeter', 'StageClock']
