"""A call in a process of its own: its output, its end, its time and memory, and what it did to the file system.

A process is forked for each call: whatever the call does to its process, the next one starts from the same state.
"""

import ctypes
import faulthandler
import gc
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

GIGABYTE = 1e9
ADDRESSES = 6 * 2**30  # bytes that a call may ask for beyond what its parent has: the machine survives a huge one
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {  # events of `sys.audit` that change files: the places of paths, and of their folders' descriptors
    'os.rename': ((0, 2), (1, 3)),
    'os.remove': ((0, 1),),
    'os.rmdir': ((0, 1),),
    'os.mkdir': ((0, 2),),
    'os.link': ((1, 3),),
    'os.symlink': ((1, 2),),
    'os.truncate': ((0, None),),
    'os.chmod': ((0, 2),),
    'os.utime': ((0, 3),),
}
PLANTED = 'fuzz.planted'  # the event of code that a case has hidden in a file
STARTS = ('os.system', 'os.exec', 'os.posix_spawn', 'subprocess.Popen', 'socket.connect', PLANTED)
HARMLESS = ('/dev/', '/proc/')
ENVIRONMENT = ('gcc --version', 'nvcc', "'git', 'rev-parse'", 'nvidia-smi', 'ldconfig', "['fc-list', '--")
"""What mmengine asks the machine before a training, and matplotlib for letters that its own font does not have."""


@dataclass(frozen=True)
class Outcome:
    """What became of a call.

    Attributes:
        code: the exit code, negative for a signal; None if it took too long and was killed.
        output: stdout and stderr.
        seconds: from start to end.
        busy: seconds of a processor's work.
        memory: bytes, at most, beyond what the parent has.
        events: changes of files outside the folders that it may write to, and programs that it started.
        ready: whether the call's preparation came to its end.
    """

    code: int | None
    output: str
    seconds: float
    busy: float
    memory: float
    events: tuple[str, ...] = ()
    ready: bool = True


@dataclass(frozen=True)
class Running:
    """A call that runs."""

    name: object
    pid: int
    pidfd: int
    output: int
    events: int
    started: float = field(default_factory=time.monotonic)


def run_all(
    calls: Iterable[tuple[object, Callable[[], Callable[[], int]], Iterable[Path]]], *, jobs: int, limit: float
) -> Iterator[tuple[object, Outcome]]:
    """Run calls, some at a time; yields them as they end.

    Args:
        calls: a name for each; a function that prepares it and returns what is run and watched, which gives the exit
            code; and the folders that this may write to.
        jobs: processes at a time.
        limit: seconds that one may take.
    """
    gc.freeze()  # what is there is not looked at again, so that its pages stay shared
    base = _resident()
    calls, running, left = iter(calls), {}, True
    try:
        while running or left:
            while left and len(running) < jobs:
                call = next(calls, None)
                left = call is not None
                if left:
                    one = _start(*call)
                    running[one.pidfd] = one
            wait = min((one.started + limit for one in running.values()), default=0) - time.monotonic()
            ended, _, _ = select.select(list(running), [], [], max(wait, 0))
            late = [key for key, one in running.items() if key not in ended and time.monotonic() > one.started + limit]
            for key in [*ended, *late]:
                one = running.pop(key)
                yield one.name, _end(one, base, killed=key in late)
    finally:
        for one in running.values():
            _end(one, base, killed=True)
        gc.unfreeze()


def _start(name: object, prepare: Callable[[], Callable[[], int]], writable: Iterable[Path]) -> Running:
    output, events = os.memfd_create('output'), os.memfd_create('events')
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = _call(prepare, [os.path.realpath(folder) for folder in writable], output, events)
        finally:
            os._exit(code & 255)
    return Running(name, pid, os.pidfd_open(pid), output, events)


def _call(prepare: Callable[[], Callable[[], int]], writable: list[str], output: int, events: int) -> int:
    """The exit code of a call, in its process; errors are printed, as the interpreter does."""
    os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # ends with its parent
    faulthandler.disable()  # pytest's, which writes to the terminal
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    # Files of their own: a parent's, such as pytest's, may lead elsewhere.
    sys.stdout = os.fdopen(1, 'w', closefd=False)
    sys.stderr = os.fdopen(2, 'w', errors='backslashreplace', closefd=False)
    sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr
    try:
        run = prepare()
        os.write(events, b'ready\n')
        limit = _addresses() + ADDRESSES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        sys.addaudithook(_watcher(writable, events))
        return int(run() or 0)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def _watcher(writable: list[str], events: int) -> Callable[[str, tuple], None]:
    """What `sys.addaudithook` takes: it notes changes outside of ``writable``, and programs that are started."""

    def note(text: str) -> None:
        os.write(events, text.encode(errors='backslashreplace').replace(b'\n', b'\\n') + b'\n')

    def written(event: str, path: object, folder: object = None) -> None:
        if isinstance(path, int) or path is None:
            return
        name = os.fsdecode(path)
        if isinstance(folder, int) and folder >= 0:
            name = os.path.join(os.readlink(f'/proc/self/fd/{folder}'), name)
        name = os.path.join(os.path.realpath(os.path.dirname(name)), os.path.basename(name))
        if not name.startswith(HARMLESS) and not any(name == one or name.startswith(one + '/') for one in writable):
            note(f'{event} {name}')

    def watch(event: str, args: tuple) -> None:
        if event == 'open':
            path, _, flags = args
            if flags & WRITING:
                written(event, path)
        elif event in CHANGES:
            for place, folder in CHANGES[event]:
                written(event, args[place], None if folder is None else args[folder])
        elif event == 'socket.connect' and isinstance(args[1], str | bytes):
            pass  # a file, by which a data loader's workers talk to each other
        elif event in STARTS:
            text = f'{event} {args!r:.300}'
            if not any(known in text for known in ENVIRONMENT):
                note(text)

    return watch


def _end(one: Running, base: float, *, killed: bool) -> Outcome:
    seconds = time.monotonic() - one.started
    with suppress(ProcessLookupError):
        os.killpg(one.pid, signal.SIGKILL)  # with what it has left behind
    _, status, usage = os.wait4(one.pid, 0)
    output, events = (_content(number) for number in (one.output, one.events))
    os.close(one.pidfd)
    ready, *noted = events.splitlines() or ['']
    code = None if killed else os.waitstatus_to_exitcode(status)
    return Outcome(
        code,
        output,
        seconds,
        busy=usage.ru_utime + usage.ru_stime,
        memory=usage.ru_maxrss * 1024 - base,
        events=tuple(dict.fromkeys(noted)),
        ready=ready == 'ready',
    )


def _content(number: int) -> str:
    with open(number, 'rb') as file:
        file.seek(0)
        return file.read(10_000_000).decode(errors='backslashreplace')


def _resident() -> float:
    return int(Path('/proc/self/statm').read_text().split()[1]) * resource.getpagesize()


def _addresses() -> int:
    return int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
