"""C++ that is compiled at its first use, for the processor at hand, and kept in the user's cache.

A library is code: one that somebody else could have put there is not loaded, and neither is one that was cut off. Its
name ends with the hash of its content, it belongs to this user or to root, and no other can write to it or its folder.
"""

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

TIMEOUT = 120  # seconds; a compiler needs some
PATIENCE = 24 * 3600  # seconds until one that took too long is tried again
COMPILERS = ('c++', 'g++', 'clang++')


class NoLibraryError(RuntimeError):
    """There is no library, for the reason that is the message, in one line.

    Attributes:
        failed: False if there is merely no compiler.
    """

    def __init__(self, reason: str, *, failed: bool = True) -> None:
        super().__init__(' '.join(reason.split())[:500])
        self.failed = failed


class TooLateError(NoLibraryError):
    """A compiler takes too long."""


def compiled_library(source: Path, flags: Sequence[str], symbol: str) -> ctypes.CDLL:
    """Load the library of a source, from the cache or compiled by the compiler that CXX names, or one that is found.

    Args:
        source: a C++ file.
        flags: of the compiler, without output and source.
        symbol: a function in it.

    Raises:
        NoLibraryError: no compiler, or one that fails, takes too long or writes something else.
    """
    # A library that is loaded needs its file no longer.
    with tempfile.TemporaryDirectory(prefix='mmagg-', ignore_cleanup_errors=True) as place:
        return _found_or_compiled(source, flags, symbol, Path(place))[1]


def library_file(source: Path, flags: Sequence[str], symbol: str) -> Path:
    """The file of such a library, in the cache; arguments and errors as of `compiled_library`.

    Raises:
        NoLibraryError: also where nothing can be kept in the cache.
    """
    with tempfile.TemporaryDirectory(prefix='mmagg-', ignore_cleanup_errors=True) as place:
        file = _found_or_compiled(source, flags, symbol, Path(place))[0]
    if file is None:
        raise NoLibraryError('it cannot be kept: there is no cache folder that only this user and root can change')
    return file


def _found_or_compiled(source: Path, flags: Sequence[str], symbol: str, place: Path) -> tuple[Path | None, ctypes.CDLL]:
    """The library's file in the cache, where it could be kept, and the library; it is compiled in a folder."""
    try:
        wanted = os.environ.get('CXX', '')
        parts = [source.read_text(encoding='utf-8'), wanted, *flags, platform.machine(), processor()]
        key = hashlib.sha256('\0'.join(parts).encode(errors='surrogateescape')).hexdigest()[:16]
        folder, name = cache_folder(), f'{source.stem}_{key}'
        for path in () if folder is None else kept(folder, name):
            with suppress(OSError):  # such as what a bad compiler wrote
                return path, loaded(path, symbol)
        new, command = place / f'{name}.so', compiler(wanted)
        note = None if folder is None else folder / f'{name}_late_{identity(command)}'
        with nullcontext() if note is None else tried_once_a_day(note):
            compile_source([*command, *flags, str(source), '-o', str(new)], place)
        stays = None if folder is None else keep(new, folder, name)
        try:
            return stays, loaded(new, symbol)
        except OSError:  # /tmp may be mounted noexec
            if stays is None:
                raise
            return stays, loaded(stays, symbol)
    except (OSError, ValueError) as error:  # ValueError: a quotation mark in CXX that stands alone
        raise NoLibraryError(f'{type(error).__name__}: {error}') from error


def loaded(path: Path, symbol: str) -> ctypes.CDLL:
    """The library at a path; OSError if there is none with that symbol."""
    library = ctypes.CDLL(str(path))
    if not hasattr(library, symbol):
        raise OSError(f'{path.name} has no {symbol}')
    return library


def processor() -> str:
    """The processor's features, part of the cache's key: a home folder may be shared by different machines."""
    try:
        lines = Path('/proc/cpuinfo').read_text(errors='replace').splitlines()
        return next(line for line in lines if line.startswith(('flags', 'Features')))
    except (OSError, StopIteration):
        return platform.processor()


# Compiling


def compiler(wanted: str) -> list[str]:
    """The command that ``wanted`` (CXX) is, which may have arguments; else the first compiler on the path."""
    found = shlex.split(wanted) or list(filter(None, map(shutil.which, COMPILERS)))[:1]
    if not found:
        raise NoLibraryError('no C++ compiler; install g++, or name one with CXX', failed=False)
    return found


def identity(command: list[str]) -> str:
    """Changes with a compiler's file, and with its arguments."""
    path = os.path.realpath(shutil.which(command[0]) or command[0])
    status = os.stat(path)
    parts = [*command, path, str(status.st_size), str(status.st_mtime_ns)]
    return hashlib.sha256('\0'.join(parts).encode(errors='surrogateescape')).hexdigest()[:16]


def compile_source(command: list[str], place: Path) -> None:
    """Run a compiler whose temporary files, too, lie in a folder, and end all that it started if it takes too long.

    Raises:
        NoLibraryError: it fails, takes too long, or does not write the file that the last word of the command names.
        OSError: it cannot be started.
    """
    told = place / 'output'  # a file: a pipe would be waited for while any process that the compiler started has it
    with told.open('wb') as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, 'TMPDIR': str(place)},
            start_new_session=True,
        )
    try:
        code = process.wait(TIMEOUT)
    except BaseException as error:  # an interruption too
        with suppress(OSError):  # they have just ended
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            raise TooLateError(f'{command[0]} takes more than {TIMEOUT} s') from None
        raise
    if code:
        text = told.read_text(errors='replace').strip()
        raise NoLibraryError(f'{command[0]} does not compile {command[-3]}: {text or f"it ends with {code}"}')
    if not Path(command[-1]).is_file():
        raise NoLibraryError(f'{command[0]} writes no library')


# The cache


def cache_folder() -> Path | None:
    """The user's cache folder; None if there is none that only this user and root can change."""
    # XDG's specification: a relative path is to be ignored. A user may have no home at all.
    places = os.environ.get('XDG_CACHE_HOME', ''), os.path.expanduser('~/.cache')
    place = next((Path(place) for place in places if os.path.isabs(place)), None)
    if place is None:
        return None
    folder = place / 'mmagg'
    with suppress(OSError):
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    with suppress(OSError):
        folder = Path(os.path.realpath(folder))  # a link could lead elsewhere a moment later
        status, above = folder.stat(), [parent.stat() for parent in folder.parents]
        if status.st_uid == os.geteuid() and status.st_mode & 0o022:
            folder.chmod(0o700)
            status = folder.stat()
        # Who can write to a folder above can put another in the place of this one, unless it is sticky, like /tmp.
        movable = any(each.st_mode & 0o002 and not each.st_mode & stat.S_ISVTX for each in above)
        if stat.S_ISDIR(status.st_mode) and closed(status) and trusted(above[0]) and not movable:
            return folder
    return None


def trusted(status: os.stat_result) -> bool:
    """True if it belongs to this user or to root."""
    return status.st_uid in (os.geteuid(), 0)


def closed(status: os.stat_result) -> bool:
    """True if, moreover, nobody else can write to it."""
    return trusted(status) and not status.st_mode & 0o022


def kept(folder: Path, name: str) -> Iterator[Path]:
    """The whole libraries of a name in the cache; what is left of others is deleted."""
    for path in folder.glob(f'{name}_*.so'):
        with suppress(OSError):
            status = path.lstat()
            ours = stat.S_ISREG(status.st_mode) and closed(status)
            if ours and path.stem == f'{name}_{hashlib.sha256(path.read_bytes()).hexdigest()}':
                yield path
                continue
        with suppress(OSError):
            path.unlink()


@contextmanager
def tried_once_a_day(note: Path) -> Iterator[None]:
    """Refuse a compiler that took too long, in this process or another, for a day; a file in the cache notes it.

    Raises:
        NoLibraryError: it is refused.
    """
    with suppress(OSError):
        status = note.lstat()
        if trusted(status) and 0 <= time.time() - status.st_mtime < PATIENCE:
            raise NoLibraryError(f'the compiler took too long within the last day; delete {note} to try it again')
    try:
        yield
    except TooLateError:
        with suppress(OSError):
            note.touch()
        raise


def keep(new: Path, folder: Path, name: str) -> Path | None:
    """Copy a library into the cache, whole or not at all, in the place of others of its name; None if that fails."""
    content = new.read_bytes()
    path, temporary = folder / f'{name}_{hashlib.sha256(content).hexdigest()}.so', None
    with suppress(OSError):  # a full disk, a folder that cannot be written to
        for old in folder.glob(f'{name}_*'):  # also what a killed process has left
            with suppress(OSError):
                old.unlink()
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=f'{name}_')
        with open(handle, 'wb') as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # another user may read what root has compiled
        os.replace(temporary, path)
        return path
    if temporary is not None:
        with suppress(OSError):
            os.unlink(temporary)
    return None
