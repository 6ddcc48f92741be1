"""Steps of the set-up: a line each, what their commands print in a log, and one line where one fails."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class SetupError(Exception):
    """What cannot work: one line that says what, where, and what to do."""


class CommandError(SetupError):
    """A command of a step has failed; `output` is what it printed."""

    def __init__(self, message: str, output: str) -> None:
        super().__init__(message)
        self.output = output


class Stopped(BaseException):
    """The set-up has been told to end by a signal."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Steps:
    """Shows steps and runs their commands.

    Arguments:
        log: what commands print.
        total: how many steps there are.
        held: an open file that commands keep open: its lock is theirs as well, should this process be killed.
    """

    def __init__(self, log: Path, *, total: int, held: int | None = None) -> None:
        self.log, self.total, self.held = log, total, () if held is None else (held,)
        self.number, self.heading = 0, ''
        self.terminal = sys.stdout.isatty()
        log.write_text('')

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """One line: what is done, and how long it took."""
        self.number += 1
        self.heading = f'[{self.number}/{self.total}] {what}'
        self._write(f'\n== {self.heading}\n')
        start = time.monotonic()
        self._show(f'{self.heading} ...')
        try:
            yield
        except BaseException:
            self._end()
            raise
        self._show(f'{self.heading}: {time.monotonic() - start:.0f} s')
        self._end()

    def at(self, detail: str, *, milestone: bool = False) -> None:
        """What the step is at, in place; where there is no terminal, milestones alone, as lines."""
        if self.terminal or milestone:
            self._show(f'{self.heading}: {detail}')

    def run(self, *command: object, each: Callable[[str], None] | None = None, **variables: str) -> str:
        """What a command prints.

        Arguments:
            command: its words.
            each: called with every line.
            variables: its environment, beside that of this process.

        Raises:
            CommandError: it failed.
        """
        words = [str(word) for word in command]
        self._write(f'$ {" ".join(words)}\n')
        lines = []
        # A session of its own: a signal at the terminal reaches this process alone, which then ends all of the command.
        process = subprocess.Popen(
            words,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding='utf-8',
            errors='replace',
            start_new_session=True,
            pass_fds=self.held,
        )
        try:
            for line in process.stdout:
                lines.append(line)
                self._write(line)
                if each is not None:
                    each(line)
            process.wait()
        except BaseException:
            end(process)
            raise
        if process.returncode:
            command = ' '.join(words[:4])
            raise CommandError(f'{command} failed; {self.log} says why', ''.join(lines))
        return ''.join(lines)

    def _show(self, text: str) -> None:
        if self.terminal:
            print(f'\r\033[K{text[: shutil.get_terminal_size().columns - 1]}', end='', flush=True)
        else:
            print(text, flush=True)

    def _end(self) -> None:
        if self.terminal:
            print(flush=True)

    def _write(self, text: str) -> None:
        with open(self.log, 'a', encoding='utf-8') as file:
            file.write(text)


def end(process: subprocess.Popen) -> None:
    """End a command and all that it started: asked first, since pip then undoes what it has half done."""
    for number, patience in ((signal.SIGINT, 10), (signal.SIGKILL, 10)):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            if number == signal.SIGKILL:
                return
            time.sleep(0.2)


@contextmanager
def signals() -> Iterator[None]:
    """Make signals that end a process an exception, so that commands are ended as well."""

    def stop(number: int, frame: object) -> None:
        for each in ENDS:
            signal.signal(each, signal.SIG_IGN)  # a second one would break off the ending
        raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in ENDS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def alone(file: Path, log: Path) -> Iterator[int]:
    """Wait until no other process holds the lock of a file; gives the open file."""
    with open(file, 'r+b') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f'waiting for another `make`, which sets up {log.parent}{at_last(log)}', flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()


def at_last(log: Path) -> str:
    """The step that a log is at."""
    with suppress(OSError):
        headings = [line[3:] for line in log.read_text(errors='replace').splitlines() if line.startswith('== ')]
        if headings:
            return f': {headings[-1]}'
    return ''
