"""Values that edits put in the place of others: one a line in the files of `words`."""

import json
from functools import cache
from pathlib import Path


@cache
def words(name: str) -> list[str]:
    """The lines of a list; those of lists named ``text_…`` are texts in JSON."""
    lines = (Path(__file__).parent / f'words/{name}.txt').read_text(encoding='utf-8').splitlines()
    return [json.loads(line) for line in lines] if name.startswith('text_') else lines
