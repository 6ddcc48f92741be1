"""Runs commands in children of a process that has imported everything and started no thread; some of them are killed.

Each line of stdin is a job in JSON, each line of stdout says how it ended. A job has a `command` and its `words`, the
folder `of` its outputs, a file for its `log`, and may have a `kill`: ['call', n] before or after a call that changes
that folder (two places a call), ['bytes', n] when a file gets larger, or ['seconds', s].
"""

import builtins
import importlib
import io
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from types import SimpleNamespace

CHANGES = 'replace', 'rename', 'unlink', 'remove', 'rmdir', 'mkdir', 'fsync', 'open'


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def aim(folder: str, place: int | None) -> Iterator[int]:
    """Kill this process at the place of this number; gives the number of the next place."""
    places, own = count(), os.getpid()

    def counted(call: Callable) -> Callable:
        def changing(*args: object, **options: object) -> object:
            if os.getpid() != own or not concerns(folder, call, args, options):
                return call(*args, **options)
            if next(places) == place:
                kill()
            result = call(*args, **options)
            if next(places) == place:
                kill()
            return result

        return changing

    for name in CHANGES:
        setattr(os, name, counted(getattr(os, name)))
    builtins.open = io.open = counted(open)
    return places


def concerns(folder: str, call: Callable, args: tuple, options: dict) -> bool:
    """True if a call changes the folder: it has a path of it, or a file descriptor."""
    if call.__module__ in ('_io', 'io') and not set('wax+') & set(str(args[1:2]) + str(options.get('mode', ''))):
        return False  # reads a file
    paths = [os.fsdecode(path) for path in args if isinstance(path, str | bytes | os.PathLike)]
    descriptors = [number for number in (options.get('dir_fd'), *args[:1]) if isinstance(number, int)]
    paths += [os.readlink(f'/proc/self/fd/{number}') for number in descriptors]
    return any(path.startswith(folder) for path in paths)


@contextmanager
def logged(path: str) -> Iterator[None]:
    """Let the process write its output to a file."""
    log = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    yield
    sys.stdout.flush()
    sys.stderr.flush()


def work(job: SimpleNamespace, result: int) -> int:
    """Run the command; returns its exit code, and writes the number of places to the pipe ``result``."""
    from mmagg.cli.main import COMMANDS, run

    kind, value = job.kill or (None, None)
    if kind == 'bytes':
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (value, value))
    with logged(job.log):
        places = aim(job.of, value if kind == 'call' else None)
        code = run(COMMANDS[job.command], job.words)
    os.write(result, str(next(places)).encode())
    return code


def ended(child: int, seconds: float | None) -> int:
    """Wait for a child, and kill it after so many seconds; returns its exit code, or minus the signal's number."""
    deadline = None if seconds is None else time.monotonic() + seconds
    while (
        deadline is not None
        and time.monotonic() < deadline
        and not os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    ):
        time.sleep(0.002)
    if deadline is not None:
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def say(line: str) -> None:
    sys.stdout.write(f'{line}\n')
    sys.stdout.flush()


def serve() -> None:
    """Do the jobs, with the modules imported that the arguments name."""
    for name in sys.argv[1:]:
        importlib.import_module(name)
    say('ready')
    for line in sys.stdin:
        job, begun = SimpleNamespace(**json.loads(line)), time.monotonic()
        read, write = os.pipe()
        if (child := os.fork()) == 0:
            os.setpgid(0, 0)
            try:
                os._exit(work(job, write))
            except BaseException as error:
                os.write(2, repr(error).encode())
                os._exit(99)
        code = ended(child, job.kill[1] if job.kill and job.kill[0] == 'seconds' else None)
        seconds = time.monotonic() - begun
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # workers of data loaders, which look for their parent now and then
        os.close(write)
        places = os.read(read, 20)
        os.close(read)
        log = Path(job.log).read_text(errors='replace')[-2000:]
        say(json.dumps(dict(code=code, seconds=seconds, places=int(places or 0), log=log)))


if __name__ == '__main__':
    serve()
