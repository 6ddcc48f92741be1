"""Peak memory of parts of a computation, exact on the CPU as well."""

from typing import Any

import torch
from torch.autograd import profiler

MIB = 2**20
MARK = 'memory mark: '


class MemoryMeter:
    """The memory of tensors while it is entered, allocation by allocation.

    On the CPU the profiler reports each allocation and release, and their running sum gives the peak; that slows the
    computation down, so time is to be measured in a run of its own. On CUDA the allocator keeps the peak. Memory of
    NumPy, OpenCV and pycocotools is not seen, nor on the CPU the release of tensors from before the meter started.

        with MemoryMeter() as meter:
            first()
            meter.mark('second')
            second()
        meter.peak('second')  # bytes above what was held at the mark

    Args:
        device: whose memory.
    """

    def __init__(self, device: str | torch.device = 'cpu') -> None:
        self.device = torch.device(device)
        self._segments: list[tuple[str, int, int]] = []  # name, bytes held at its mark, highest

    def __enter__(self) -> 'MemoryMeter':
        if self.device.type == 'cuda':
            torch.cuda.reset_peak_memory_stats(self.device)
            self._open = ('start', torch.cuda.memory_allocated(self.device))
        else:
            self._profile = profiler.profile(profile_memory=True)
            self._profile.__enter__()
        return self

    def mark(self, name: str) -> None:
        """From here on memory belongs to the part ``name``."""
        if self.device.type == 'cuda':
            self._close_segment()
            self._open = (name, torch.cuda.memory_allocated(self.device))
        else:
            with profiler.record_function(MARK + name):
                pass

    def __exit__(self, *error: Any) -> None:
        if self.device.type == 'cuda':
            self._close_segment()
            return
        self._profile.__exit__(*error)
        if error[0] is None:
            self._read_profile()

    def peak(self, since: str = 'start', until: str | None = None) -> int:
        """Highest memory from the first mark of a name to that of another, or to the end (None).

        Returns:
            Bytes above those that were held at the first mark.

        Raises:
            ValueError: no such mark.
        """
        names = [name for name, _, _ in self._segments]
        for name in (since, until):
            if name is not None and name not in names:
                raise ValueError(f'no mark {name!r}; there are {names}')
        part = self._segments[names.index(since) : None if until is None else names.index(until)]
        return max(peak for _, _, peak in part) - part[0][1]

    def _close_segment(self) -> None:
        self._segments.append((*self._open, torch.cuda.max_memory_allocated(self.device)))
        torch.cuda.reset_peak_memory_stats(self.device)

    def _read_profile(self) -> None:
        """Sum up the profile's allocations and releases, from zero at the start."""
        name, start, held, peak = 'start', 0, 0, 0
        results: Any = self._profile.kineto_results  # PyTorch's stubs do not know the bytes of its events
        for event in sorted(results.events(), key=lambda event: event.start_ns()):
            if event.name() == '[memory]' and event.device_type() == torch.autograd.DeviceType.CPU:
                held += event.nbytes()
                peak = max(peak, held)
            elif event.name().startswith(MARK):
                self._segments.append((name, start, peak))
                name, start, peak = event.name().removeprefix(MARK), held, held
        self._segments.append((name, start, peak))
