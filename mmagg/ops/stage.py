"""Stages of a program: marked where they happen, and measured in time or anything else that grows.

A lazy head runs its towers in the middle of decoding. So a stage is charged exclusively: while a nested stage is open,
the outer one is charged nothing, and all stages add up to the outermost ones.

Marks are ranges of PyTorch's profiler. A `StageMeter` listens to them instead of reading a profile: that records every
operator, which takes longer than the small ones themselves, and on CUDA ranges on the host say when work was launched.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from time import perf_counter

import torch
from torch.profiler import record_function

_listening: list['StageMeter'] = []


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Mark a block, or a function that is decorated with it, as a stage: the profiler's range ``mmagg::<name>``."""
    with record_function(f'mmagg::{name}'), _listening[-1].stage(name) if _listening else nullcontext():
        yield


class StageMeter:
    """Charges the growth of a quantity, e.g. the time, to the innermost stage that is open.

    Args:
        read: returns the quantity.

    Attributes:
        spent: growth by stage name, in the order in which the stages were first left.
    """

    def __init__(self, read: Callable[[], float]) -> None:
        self.read = read
        self.spent: dict[str, float] = defaultdict(float)
        self._open: list[str] = []
        self._last = 0.0

    @property
    def total(self) -> float:
        """Sum over all stages."""
        return sum(self.spent.values())

    def begin(self, name: str) -> None:
        """From here on ``name`` is charged."""
        self._charge()
        self._open.append(name)

    def end(self) -> None:
        """From here on the stage around the present one is charged again."""
        self._charge()
        self._open.pop()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Within the block ``name`` is charged."""
        self.begin(name)
        try:
            yield
        finally:
            self.end()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within the block marks are charged here, also those that other threads pass."""
        _listening.append(self)
        try:
            yield
        finally:
            _listening.remove(self)

    def _charge(self) -> None:
        """Charge the growth since the last change to the innermost open stage."""
        now = self.read()
        if self._open:
            self.spent[self._open[-1]] += now - self._last
        self._last = now


class StageClock(StageMeter):
    """Exclusive seconds per stage.

    Args:
        device: on CUDA the clock waits for the device whenever a stage begins or ends: a kernel is charged to the stage
            that launched it, not to the one that waits for it.

    Attributes:
        seconds: by stage name.
    """

    def __init__(self, device: str | torch.device = 'cpu') -> None:
        super().__init__(self.now)
        self.device = torch.device(device)
        self.seconds = self.spent

    def now(self) -> float:
        """The time, once the device is idle."""
        if self.device.type == 'cuda':
            torch.cuda.synchronize(self.device)
        return perf_counter()
