"""The stack of a thread's signal handlers.

OpenVINO (2026.4) gives the thread that loads a model a small one of its own, on processors with AMX. Python's handlers
run on it and overflow it: the end of a child, or Ctrl-C, would end the process.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class Stack(ctypes.Structure):
    """``stack_t`` of Linux."""

    _fields_ = (('start', ctypes.c_void_p), ('flags', ctypes.c_int), ('size', ctypes.c_size_t))


@contextmanager
def kept_signal_stack() -> Iterator[None]:
    """After the block, the thread's signal handlers have the stack that they had before it; on Linux alone."""
    if sys.platform != 'linux':
        yield
        return
    sigaltstack, before = ctypes.CDLL(None).sigaltstack, Stack()
    sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        sigaltstack(ctypes.byref(before), None)
