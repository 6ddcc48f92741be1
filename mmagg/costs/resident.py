"""The memory of this process as the system counts it: also what PyTorch does not allocate. Linux tells it."""

import ctypes
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

STATUS, CLEAR = Path('/proc/self/status'), Path('/proc/self/clear_refs')
FORGET_PEAK = '5'  # what proc(5) has for it


def growth(work: Callable[[], object]) -> int | None:
    """Run a function; the bytes by which the process grew at its largest, or None where the system does not tell.

    What was freed before goes back to the system first. A runtime that keeps its memory for the next image grows at
    the first one alone.
    """
    with suppress(OSError, AttributeError):  # of another C library than GNU's
        ctypes.CDLL(None).malloc_trim(0)
    try:
        CLEAR.write_text(FORGET_PEAK)
        before = _status('VmRSS')
        work()
        return max(0, _status('VmHWM') - before)
    except OSError:
        return None


def _status(name: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f'{name}:'))
    return 1024 * int(line.split()[1])
