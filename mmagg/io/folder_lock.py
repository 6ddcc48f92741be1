"""A folder that one process at a time works in."""

import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from mmagg.io.errors import InputError
from mmagg.io.files import check_folder

LOCK = '.lock'


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
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with _taken(folder / LOCK, f'{flag} {folder}'):
            try:
                yield
            finally:
                (folder / LOCK).unlink(missing_ok=True)  # while it is locked: it may be the next one's afterwards
    finally:
        with suppress(OSError):  # not empty
            for place in made:
                place.rmdir()


def _taken(path: Path, name: str) -> TextIO:
    """The file, open and locked; closing it, by whatever means, unlocks it."""
    while True:
        file = path.open('a+', encoding='utf-8')
        try:
            # Not flock: the workers of data loaders would inherit that, and hold it for seconds after a kill.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                return file
            file.seek(0)
            holder = file.read().strip() or 'another process'
            file.close()
            raise InputError(
                f'{name}: in use by {holder}; wait until it has ended, or stop it, or name another place'
            ) from error
        if path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
            break
        file.close()  # of a process that has just ended, and deleted it
    holder = f'process {os.getpid()} on {socket.gethostname()} since {time.strftime("%Y-%m-%d %H:%M:%S")}\n'
    with suppress(OSError):  # a full disk
        file.truncate(0)
        os.write(file.fileno(), holder.encode())  # without a buffer, which would fail again when the file is closed
    return file
