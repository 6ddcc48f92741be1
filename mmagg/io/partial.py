"""Temporary files of outputs: their names, who is writing them, and the removal of those that a kill has left.

A writer holds a lock (flock) on its temporary file, which the kernel drops with the process, however that ends: so
what is left is told from what is being written. Names are not random: the next writer of an output finds what was left
of it without a look at the other files of the folder. Where a file system has no such locks, nothing is removed.
"""

import fcntl
import os
import re
from pathlib import Path

PARTIAL = re.compile(r'\..*\.mmagg-partial-\d+(?:\.[^.]*)?', re.DOTALL)


def partial_path(path: Path, number: int = 1) -> Path:
    """The temporary file of an output, or, as several may be writing it, another one.

    It has the suffix of ``path``, by which image writers choose the format.
    """
    return path.with_name(f'.{path.stem[:40]}.mmagg-partial-{number}{path.suffix}')


def claim(path: Path) -> tuple[Path, int]:
    """Make a temporary file for ``path``, and remove what killed writers left of it.

    Returns:
        The file, and an open file descriptor that holds its lock.
    """
    number = 1
    while True:
        temporary = partial_path(path, number)
        try:
            handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        except FileExistsError:
            number += not remove_left(temporary)
            continue
        if lock(handle) is not False and is_open(temporary, handle):
            break
        os.close(handle)  # another process took it for a leftover, before it was locked
    later = number + 1
    while os.path.lexists(left := partial_path(path, later)) and remove_left(left):
        later += 1
    return temporary, handle


def lock(handle: int, *, inherited: bool = True) -> bool | None:
    """Lock an open file, also for processes that inherit it; False if it is locked, None where there are no locks."""
    try:
        (fcntl.flock if inherited else fcntl.lockf)(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return None
    return True


def is_open(path: Path, handle: int) -> bool:
    """True if an open file still has this name."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(handle))
    except FileNotFoundError:
        return False


def remove_left(path: Path) -> bool:
    """Delete a temporary file unless it is being written; True if it is gone."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        if not lock(handle) or not is_open(path, handle):
            return False
        path.unlink()
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


def remove_temporary(folder: Path) -> None:
    """Delete what killed writers have left in a folder, which may be missing; not in those below it."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if PARTIAL.fullmatch(path.name):
            remove_left(path)
