"""A command that is stopped ends in a line: Ctrl-C, SIGTERM and SIGHUP unwind what it does, as an exception.

So files are whole or absent, curves are written, and the workers of data loaders end with their parent.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mmagg.io.signals import SIGNALS

DEFAULTS = (signal.SIG_DFL, signal.default_int_handler)
AGAIN = 0.5  # seconds until it is seen whether the exception was swallowed
TOGETHER = 1.0  # seconds in which a repeated signal is the same wish: `timeout` and terminals send it more than once


class Stopped(KeyboardInterrupt):
    """A signal has come. What treats Ctrl-C in its own way, such as torch's loader workers, does so with this, too."""

    def __init__(self, signum: int) -> None:
        super().__init__()
        self.signum = signum

    def __str__(self) -> str:
        return 'interrupted' if self.signum == signal.SIGINT else f'terminated ({signal.Signals(self.signum).name})'

    @property
    def exit_code(self) -> int:
        """As shells have it."""
        return 128 + self.signum


class Stopping:
    """The handler of `SIGNALS`: the first one raises `Stopped`, a later one ends the process without clean-up.

    Where others swallow the exception, by a bare ``except`` or in a destructor, a timer raises it again.
    """

    def __init__(self) -> None:
        self.first: Stopped | None = None
        self.pid = os.getpid()

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        if os.getpid() != self.pid:  # a forked worker: its parent cleans up
            os._exit(0)
        if self.first is None:
            signal.signal(signal.SIGCHLD, lambda *_: None)  # torch's raises an error for workers that end as well
            signal.signal(signal.SIGALRM, self._again)
            signal.setitimer(signal.ITIMER_REAL, AGAIN, AGAIN)
            self.first, self.since = Stopped(signum), time.monotonic()
            raise self.first
        if time.monotonic() - self.since > TOGETHER:
            for child in multiprocessing.active_children():
                child.kill()
            os.write(2, f'{self.first}, without clean-up\n'.encode())
            os._exit(self.first.exit_code)

    def _again(self, signum: int, frame: FrameType | None) -> None:
        """Raise once more, unless it is on its way: then the clean-ups that run are in its context."""
        error = sys.exc_info()[1]
        while error is not None and error is not self.first:
            error = error.__context__
        if error is None and self.first is not None and os.getpid() == self.pid:
            raise self.first


def notes(error: BaseException) -> list[str]:
    """What was noted in an error, or in the one that it took the place of, as that of a worker that was stopped."""
    return [note for one in (error, error.__cause__) for note in getattr(one, '__notes__', ())]


@contextmanager
def stopping() -> Iterator[None]:
    """Handle signals in the block, those that have no handler of their own and are not ignored, as by ``nohup``.

    Once one has come, the block ends in `Stopped`, and further ones end the process, which is on its way to the exit.
    Of several processes that torchrun started the first one alone cleans up; the others may be caught in an exchange,
    where no handler would run.
    """
    handler, previous = Stopping(), {}
    first = int(os.environ.get('RANK', '0')) == 0
    if first and threading.current_thread() is threading.main_thread():
        previous = {number: old for number in SIGNALS if (old := signal.getsignal(number)) in DEFAULTS}
    for number in previous:
        signal.signal(number, handler)
    unraisable = sys.unraisablehook
    sys.unraisablehook = lambda found: None if isinstance(found.exc_value, Stopped) else unraisable(found)
    try:
        yield
    except BaseException as error:  # it may also have ended workers, and that in an error before the signal is handled
        if handler.first is None or error is handler.first:
            raise
        raise handler.first from error
    finally:
        if handler.first:
            signal.setitimer(signal.ITIMER_REAL, 0)
        sys.unraisablehook = unraisable
        for number, old in previous.items():
            signal.signal(number, signal.SIG_DFL if handler.first else old)
