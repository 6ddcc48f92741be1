"""Edits of bytes: ``['bytes', file, operation, place, what]``; ``['member', file, member, …]`` in a file of a zip.

Operations: ``flip`` a bit, ``set`` a byte, ``cut`` what follows, ``zero`` a number of bytes, ``insert`` a text,
``remove`` a number of bytes, ``copy`` a number of bytes from the front, ``whole``: the text is all of it.
"""

import random
import zipfile
from pathlib import Path
from typing import Any

OPERATIONS = ('flip', 'flip', 'set', 'cut', 'zero', 'insert', 'remove', 'copy')
TEXTS = ('\0', '\xff\xfe', '\x1b[31m', '{', '"', '\ud800', '9' * 50, '()', '\n')


def draw(chance: random.Random, file: str, size: int, *, member: str | None = None) -> list[Any]:
    """An edit of a file of this size, or of a member of this size of a zip file."""
    operation = chance.choice(OPERATIONS)
    what = {'flip': chance.randrange(8), 'set': chance.randrange(256), 'insert': chance.choice(TEXTS)}
    place = chance.choice(
        [0, size - 1, chance.randrange(size), chance.randrange(size), chance.randrange(min(size, 64))]
    )
    edit = [operation, place, what.get(operation, chance.choice([1, 2, 4, 16, 100, 1000]))]
    return ['bytes', file, *edit] if member is None else ['member', file, member, *edit]


def apply(folder: Path, edit: list[Any]) -> None:
    """Change a file as an edit says."""
    if edit[0] == 'bytes':
        _, file, *change = edit
        (folder / file).write_bytes(changed((folder / file).read_bytes(), *change))
        return
    _, file, member, *change = edit
    try:
        with zipfile.ZipFile(folder / file) as archive:
            content = {one.filename: archive.read(one) for one in archive.infolist()}
    except Exception:
        return  # an edit before has made that impossible
    with zipfile.ZipFile(folder / file, 'w') as archive:
        for name, data in content.items():
            if name.endswith(member):
                if change[0] == 'delete':
                    continue
                data = changed(data, *change)
            archive.writestr(name, data)


def changed(content: bytes, operation: str, place: int, what: int | str) -> bytes:
    """``content`` after an operation."""
    if operation == 'whole':
        return what.encode('utf-8', 'surrogateescape')
    place = place % max(len(content), 1)
    before, after = content[:place], content[place:]
    if operation == 'flip' and after:
        return before + bytes([after[0] ^ (1 << what)]) + after[1:]
    if operation == 'set' and after:
        return before + bytes([what]) + after[1:]
    if operation == 'zero':
        return before + bytes(min(what, len(after))) + after[what:]
    if operation == 'insert':
        return before + what.encode('latin-1' if max(what) <= '\xff' else 'utf-8', 'surrogatepass') + after
    if operation == 'remove':
        return before + after[what:]
    if operation == 'copy':
        return before + content[:what] + after[what:]
    return before
