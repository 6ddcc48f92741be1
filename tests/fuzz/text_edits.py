"""Edits of text files, as XML and YAML: ``['number', file, place, text]`` puts a text in the place of a number."""

import random
import re
from pathlib import Path
from typing import Any

from fuzz.wordlists import words

NUMBER = re.compile(rb'-?\d+(?:\.\d+)?')


def draw(chance: random.Random, file: str) -> list[Any]:
    """An edit of a file."""
    return ['number', file, chance.randrange(1000), chance.choice(words('json_numbers'))]


def apply(folder: Path, edit: list[Any]) -> None:
    """Change a file as an edit says; the place counts its numbers, again from the first after the last."""
    _, file, place, text = edit
    content = (folder / file).read_bytes()
    if found := [*NUMBER.finditer(content)]:
        start, stop = found[place % len(found)].span()
        (folder / file).write_bytes(content[:start] + text.encode() + content[stop:])
