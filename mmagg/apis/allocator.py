"""How the C library gives memory back."""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
LARGEST = 2**31 - 2**20  # an int


def keep_freed_memory() -> bool:
    """Let glibc keep freed memory for the next tensor instead of giving it back to the system.

    Otherwise every large tensor consists of new pages, which the kernel has to clear one by one: a tenth of the time of
    an inference on the CPU. The process then keeps the memory that it needed at its peak.

    Returns:
        Whether the C library is glibc; nothing happens with others.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST) and mallopt(M_TRIM_THRESHOLD, LARGEST))
