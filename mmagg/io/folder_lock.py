"""A folder that one process at a time works in."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmagg.io.errors import InputError
from mmagg.io.files import check_folder
from mmagg.io.partial import is_open, lock

LOCK = '.lock'
TRIES = 1000  # to get into a folder that others give up meanwhile


@contextmanager
def locked(folder: Path, flag: str) -> Iterator[None]:
    """Keep other processes that use this out of a folder, by a lock that goes with the process, however it ends.

    It is on a file `.lock`, which is deleted at the end, and says who holds it. Where a file system has no locks there
    is none. Missing folders are made, and taken back if they stay empty.

    Args:
        folder: need not exist.
        flag: the argument that names it.

    Raises:
        InputError: another process holds the lock, or the folder cannot be written to.
    """
    check_folder(folder, flag)
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        handle = occupied(folder, LOCK, inherited=False)  # by workers of data loaders, which outlive a kill by seconds
        if handle is None:
            raise InputError(
                f'{flag} {folder}: in use by {_holder(folder)}; wait until it has ended, or stop it, or name another '
                'place'
            )
        try:
            holder = f'process {os.getpid()} on {socket.gethostname()} since {time.strftime("%Y-%m-%d %H:%M:%S")}\n'
            with suppress(OSError):  # a full disk
                os.truncate(handle, 0)
                os.write(handle, holder.encode())
            yield
        finally:
            (folder / LOCK).unlink(missing_ok=True)  # while it is locked: it may be the next one's afterwards
            os.close(handle)
    finally:
        with suppress(OSError):  # not empty
            for place in made:
                place.rmdir()


def _holder(folder: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):  # it has ended meanwhile
        return (folder / LOCK).read_text(encoding='utf-8').strip() or 'another process'
    return 'another process'


def occupied(folder: Path, name: str, *, inherited: bool = True) -> int | None:
    """Lock a folder, by a file in it; both are made if they are missing, and may be deleted by who holds the lock.

    Args:
        folder: need not exist.
        name: that of the file.
        inherited: processes that this one forks hold the lock as well.

    Returns:
        The open file, to be closed at the end; None if another one holds the lock.
    """
    for left in reversed(range(TRIES)):
        try:
            with suppress(FileExistsError):
                os.makedirs(folder)  # not by exist_ok, with which it fails if the folder goes meanwhile
            handle = os.open(folder / name, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o666)
        except FileNotFoundError:  # just given up by another process
            if not left:
                raise
            continue
        free = lock(handle, inherited=inherited) is not False
        if free and is_open(folder / name, handle):
            return handle
        os.close(handle)
        if not free:
            return None
    return None
