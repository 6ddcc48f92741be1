"""What a command prints: free of control characters, and with an end in order when nobody reads it any more."""

import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from io import TextIOWrapper
from typing import TextIO

from mmagg.io.terminal import cut, printable_output

EXIT_UNREAD = 128 + signal.SIGPIPE  # as shells have it
EXIT_UNWRITTEN = 2
BAR_SECONDS = 10  # between lines of progress in a file, as between those of a training


class Unread(KeyboardInterrupt):
    """The reader of a pipe has gone, as with ``| head``. Loggers and others, which catch errors, let it pass."""


class Output:
    """Stands for stdout or stderr, and has all that they have.

    Args:
        stream: what is written to.
        edit: what becomes of text.
    """

    def __init__(self, stream: TextIO, edit: Callable[[str], str]) -> None:
        self.stream, self.edit, self.pid = stream, edit, os.getpid()
        self.error: OSError | None = None
        self.told = False

    def __getattr__(self, name: str) -> object:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write text, edited; errors as `flush` has them."""
        self._attempt(lambda: self.stream.write(self.edit(text)))
        return len(text)

    def flush(self) -> None:
        """Hand on what was written. An error is kept for the end: on a full disk, work with files elsewhere goes on.

        Raises:
            Unread: nobody reads it any more; once, and in the main thread.
        """
        self._attempt(self.stream.flush)

    def _attempt(self, act: Callable[[], object]) -> None:
        try:
            act()
        except OSError as error:
            self.error = error
        here = os.getpid() == self.pid and threading.current_thread() is threading.main_thread()
        if here and not self.told and self.unread:
            self.told = True
            raise Unread

    @property
    def unread(self) -> bool:
        """Whether the reader has gone."""
        return self.error is not None and self.error.errno == errno.EPIPE

    def end(self) -> None:
        """Write the rest. What cannot be written goes nowhere, of which Python would complain as it ends."""
        self.told = True
        self.flush()
        if self.error is not None:
            with suppress(OSError, AttributeError), open(os.devnull, 'w') as nowhere:  # a notebook's stream is no file
                os.dup2(nowhere.fileno(), self.stream.fileno())


@contextmanager
def outputs() -> Iterator[Callable[[int], int]]:
    """Let stdout and stderr be an `Output` each in the block.

    Yields:
        a function for the end of the block: writes the rest, and turns the exit code 0 into that of what went wrong.
    """
    before = sys.stdout, sys.stderr
    out, stream = Output(_opened(sys.stdout), printable_output), _opened(sys.stderr)
    err = Output(stream, _message if stream.isatty() else WithoutBars())
    sys.stdout, sys.stderr = out, err
    try:
        yield partial(_end, out, err)
    finally:
        sys.stdout, sys.stderr = before


def _opened(stream: TextIO | None) -> TextIO:
    """A stream that takes any text. A closed one is replaced, or the next file that is opened would be stdout."""
    stream = stream or open(os.devnull, 'w')  # noqa: SIM115
    # A notebook's stream has no handler of errors; 'surrogateescape' is that of the POSIX locale.
    if isinstance(stream, TextIOWrapper) and stream.errors in ('strict', 'surrogateescape'):
        stream.reconfigure(errors='backslashreplace')  # for names that a terminal's encoding does not have
    return stream


def _message(text: str) -> str:
    """Text of stderr, where no line is long; `\\r` and so bars come first."""
    return '\n'.join(map(cut, printable_output(text).split('\n')))


class WithoutBars:
    """`_message` for a file or a pipe: of a progress bar, now and then a line instead of each of its states."""

    def __init__(self) -> None:
        self.since: float | None = None
        self.follows = False  # a bar, whose breaks of lines are left out as well

    def __call__(self, text: str) -> str:
        moves = text.strip('\n') == '' or text.startswith('\x1b[A')  # between bars, and after the last state of one
        if not text.startswith('\r') and not (self.follows and moves):
            self.follows = False
            return _message(text)
        self.follows = True
        now = time.monotonic()
        if self.since is None:
            self.since = now
        if not text.strip() or moves or now - self.since < BAR_SECONDS:
            return ''
        self.since = now
        return f'{_message(text.strip())}\n'


def _end(out: Output, err: Output, code: int) -> int:
    out.end()
    if out.error is not None and not out.unread:
        print(f'error: stdout: {out.error.strerror}', file=err)
    err.end()
    if out.unread or err.unread:
        return code or EXIT_UNREAD
    return code or (EXIT_UNWRITTEN if out.error is not None else 0)
