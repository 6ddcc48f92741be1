"""Output folders that are written whole or not at all."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tqdm import tqdm

from mmagg.io.errors import InputError
from mmagg.io.folder_lock import occupied

LOCK = 'lock'
NEW, OLD, WASTE = 'new', 'old', 'waste'  # below the workspace: the draft, the folder that it replaces, what is deleted


@contextmanager
def folder_written_whole(out: Path) -> Iterator[Path]:
    """An empty draft folder, which takes the place of ``out`` when the block ends without an error.

    The draft lies in a hidden workspace beside ``out``, which one process at a time has. A kill leaves it to the next
    one, which puts ``out`` back if it was about to be replaced, says so on stderr, and deletes the rest.

    Args:
        out: no link; need not exist.

    Raises:
        InputError: another process is writing this folder.
        OSError: it cannot be written, as on a full disk; names ``out``.
    """
    workspace = out.with_name(f'.{out.name}.mmagg-making')
    try:
        handle = occupied(workspace, LOCK)
        if handle is None:
            raise InputError(f'{out}: another process is writing this folder; wait for it, or choose another folder')
        try:
            if _put_back(out, workspace):
                tqdm.write(f'{out}: put back, a run was killed while it replaced this folder', file=sys.stderr)
            _empty(workspace)
            (workspace / NEW).mkdir()
            yield workspace / NEW
            if out.exists():
                out.rename(workspace / OLD)
            (workspace / NEW).rename(out)
        finally:
            _put_back(out, workspace)
            _empty(workspace)
            (workspace / LOCK).unlink()
            os.close(handle)
            with suppress(OSError):
                workspace.rmdir()  # unless another process has come in
    except OSError as error:
        if error.strerror and (error.filename is None or Path(os.fsdecode(error.filename)).is_relative_to(workspace)):
            error.filename, error.filename2 = str(out), None
        raise


def _put_back(out: Path, workspace: Path) -> bool:
    """True if ``out`` had been put aside, and nothing in its place."""
    if out.exists() or not (workspace / OLD).exists():
        return False
    (workspace / OLD).rename(out)
    return True


def _empty(workspace: Path) -> None:
    """Delete all but the lock. What a kill leaves of the old folder must not have its name: it would be put back."""
    shutil.rmtree(workspace / WASTE, ignore_errors=True)
    if (workspace / OLD).exists():
        (workspace / OLD).rename(workspace / WASTE)
        shutil.rmtree(workspace / WASTE, ignore_errors=True)
    shutil.rmtree(workspace / NEW, ignore_errors=True)
