"""Text for terminals: what files and their names hold does not steer one, and no line is pages long."""

import re

LONGEST, ENDING = 2000, 400  # characters of a line, and of those that are kept of its end

# Control characters but tab and newline, marks of the direction of writing, and bytes that are not UTF-8.
CONTROL = '[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]'
# What steers a terminal rightly: progress bars, between lines and before a bar, and mmengine's colours of a level.
STEERING = r'^\r|^(?:\x1b\[A)+$|(?:\x1b\[\d+m)+[A-Z]+\x1b\[0m'


def printable(text: str) -> str:
    r"""The text with control characters as Python writes them, such as ``\x1b``."""
    return re.sub(CONTROL, _written, text)


def printable_output(text: str) -> str:
    """`printable`, but for progress bars and the colours of mmengine's levels."""
    return re.sub(f'({STEERING})|{CONTROL}', lambda found: found[1] or _written(found), text)


def cut(line: str) -> str:
    """Of a very long line the beginning and the end."""
    return line if len(line) <= LONGEST else f'{line[: LONGEST - ENDING]} … {line[-ENDING:]}'


def single_line(text: str) -> str:
    """A message in one line without control characters; of a very long one the beginning and the end."""
    return cut(printable(' '.join(text.split())))


def _written(found: re.Match) -> str:
    return found[0].encode('unicode_escape').decode()
