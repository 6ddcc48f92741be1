"""Outputs stay apart from inputs: no input is overwritten, whatever its name, and however it is reached."""

import os
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from mmagg.io.errors import InputError

Named = str | Path | None
LONGEST_NAME = 255  # bytes of a file's name


def keep_apart(outputs: Mapping[str, Named], inputs: Iterable[Named]) -> None:
    """Refuse an output that is an input, contains one, or leads to one by a link.

    Args:
        outputs: files or folders that are going to be written, by the flag that names them; None is absent.
        inputs: files or folders that are read, there or not; None is absent, and what holds ``://`` is no file.

    Raises:
        InputError: names the flag, the output and the input.
    """
    read = [Path(path) for path in inputs if path is not None and '://' not in str(path)]
    for flag, output in outputs.items():
        for path in read:
            if output is not None and (relation := _relation(Path(output), path)):
                raise InputError(f'{flag} {output}: {relation}; name another place')


def _relation(output: Path, path: Path) -> str:
    """How an output gets in an input's way; empty if it does not."""
    written, read = Path(os.path.realpath(output)), Path(os.path.realpath(path))
    same = written == read or (output.exists() and path.exists() and output.samefile(path))
    if same:
        here = Path(os.path.abspath(output)) == Path(os.path.abspath(path))
        return ('is an input' if here else f'leads to {path}') + ', which would be overwritten'
    if os.path.islink(output) and written.is_relative_to(read):
        return f'leads into {path}, which is read'
    return f'holds {path}, which is read' if read.is_relative_to(written) else ''


def fitting(name: str) -> str:
    """A file's name, cut to what file systems allow; one that is cut ends in a number of its own and the suffix."""
    if len(os.fsencode(name)) <= LONGEST_NAME:
        return name
    ending = f'~{zlib.crc32(os.fsencode(name)):08x}{Path(name).suffix[:10]}'
    while len(os.fsencode(name + ending)) > LONGEST_NAME:
        name = name[:-1]
    return name + ending
