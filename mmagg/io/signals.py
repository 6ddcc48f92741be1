"""Signals that wait: an exception in the middle of some calls of PyTorch ends the process instead of unwinding it."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def signals_wait() -> Iterator[None]:
    """Run the block to its end; signals that came in it are handled then.

    `torch.save` needs it: its writer, when it is deleted unfinished, writes on to a buffer that is closed by then, and
    this error in a destructor aborts the process.
    """
    inside, held = True, list[tuple[int, FrameType | None]]()
    handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}

    def hold(signum: int, frame: FrameType | None) -> None:
        if inside:
            held.append((signum, frame))
        else:  # one that comes while the handlers are put back
            handlers[signum](signum, frame)

    if threading.current_thread() is threading.main_thread():
        handlers = {number: handler for number in SIGNALS if callable(handler := signal.getsignal(number))}
    for number in handlers:
        signal.signal(number, hold)
    try:
        yield
    finally:
        inside = False
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for signum, frame in held:
            handlers[signum](signum, frame)
