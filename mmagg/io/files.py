"""JSON files, and outputs that are written whole or not at all."""

import gc
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mmagg.io.errors import InputError
from mmagg.io.partial import PARTIAL, claim, is_open

BESIDE = 4  # checkpoints that a message names
LARGE = 100e6  # bytes, which take some seconds to read


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path`` to write to; it becomes ``path`` when the block ends without an error.

    It has the suffix of ``path``, by which image writers choose the format. Missing folders are made. What killed
    writers of ``path`` have left goes, see `mmagg.io.partial`.

    Raises:
        OSError: it cannot be written, as on a full disk; names ``path``.
    """
    path = Path(path)
    with named_in_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary, handle = claim(path)
        try:
            yield temporary
            os.replace(temporary, path)
        except BaseException:
            if is_open(temporary, handle):
                temporary.unlink()
            raise
        finally:
            os.close(handle)


@contextmanager
def named_in_errors(path: Path) -> Iterator[None]:
    """Give an error of writing the name of the output: it has none, or that of a temporary file."""
    try:
        yield
    except OSError as error:
        if error.strerror and (error.filename is None or PARTIAL.fullmatch(Path(os.fsdecode(error.filename)).name)):
            error.filename, error.filename2 = str(path), None
        raise


def write_json(content: Any, path: Path) -> None:
    """Write ``content`` as JSON, whole or not at all.

    A byte of a file's name that is not UTF-8 becomes ``\\udcXX``, which `read_json` turns into the same name.
    """
    write_text(json.dumps(content), path)


def write_text(text: str, path: Path) -> None:
    """Write text as UTF-8, whole or not at all; a byte of a file's name that is not UTF-8 becomes ``\\udcXX``."""
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding='utf-8', errors='backslashreplace')


def read_json(path: str | Path) -> Any:
    """The content of a JSON file; a large one is announced on stderr, as it is read in one go without a bar.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not JSON, or not UTF-8, or nested too deeply to be read.
    """
    path = Path(path)
    size = path.stat().st_size
    if size > LARGE:
        tqdm.write(f'reading {path} ({size / 1e6:.0f} MB) ...', file=sys.stderr)
    collecting = gc.isenabled()
    gc.disable()  # looking for garbage among millions of new dicts would take as long as reading them
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except RecursionError as error:
        raise ValueError('lists or dicts are nested too deeply') from error
    finally:
        if collecting:
            gc.enable()


def check_folder(path: Path, flag: str = '--out') -> None:
    """Refuse a folder for results, which need not exist yet, that cannot be written to.

    Raises:
        InputError: it, or a folder above it, is a file or cannot be written to.
    """
    existing = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    what = '' if existing == path else f'{existing} '
    if not existing.is_dir():
        raise InputError(f'{flag} {path}: {what}is a file; name a folder')
    if not os.access(existing, os.W_OK):
        raise InputError(f'{flag} {path}: {what}cannot be written to')


def check_file(path: Path, flag: str = '--out') -> None:
    """Refuse a file for results that is a folder, or whose folder, see `check_folder`, cannot be written to.

    Raises:
        InputError: names the flag and the path.
    """
    if path.is_dir():
        raise InputError(f'{flag} {path}: is a folder; name a file')
    check_folder(path.parent, flag)


def require_file(path: Path, what: str) -> None:
    """Refuse a path to read from that is no file; a named pipe would keep the reader waiting.

    Args:
        path: which is to be read.
        what: the word before it in a message.

    Raises:
        InputError: there is nothing, a folder, a pipe or a device; names the checkpoints beside one that is not there.
    """
    if not path.is_file():
        fault = 'is a folder' if path.is_dir() else 'is no ordinary file' if path.exists() else 'no such file'
        raise InputError(f'{what} {path}: {fault}{_beside(path)}')


def _beside(path: Path) -> str:
    """The checkpoints in the folder of one that is not there, the best first and then the newest."""
    if path.suffix != '.pth' or path.exists():
        return ''
    held = [one for one in path.parent.glob('*.pth') if one.is_file()]
    held.sort(key=lambda one: (one.name.startswith('best_'), one.stat().st_mtime))
    names = [one.name for one in reversed(held)]
    more = ', …' if len(names) > BESIDE else ''
    return f'; there are {", ".join(names[:BESIDE])}{more}' if names else ''
