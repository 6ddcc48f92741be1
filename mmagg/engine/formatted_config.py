"""Configs whose text is made once, in about a second whatever the number of classes.

mmengine formats a config with yapf whenever its text is asked for: for the log, for a file, for each checkpoint. That
takes some 15 seconds with 1203 class names, and turns an interrupt into a SyntaxError that holds all of the text.
"""

import re
from collections.abc import Callable
from itertools import count
from pprint import pformat
from textwrap import indent
from typing import Any

from mmengine.config import Config

LONG = 20  # names and numbers, nested ones as well; a longer sequence is not shown to yapf
WIDTH = 79  # columns, as yapf's pep8 has it
PLAIN = (str, int, float, bool, type(None))


class FormattedConfig(Config):
    """A config as mmengine's in all but how `pretty_text` is made; `of` makes one."""

    @classmethod
    def of(cls, config: Config) -> 'FormattedConfig':
        """``config`` under this class; they share their content."""
        formatted = cls.__new__(cls)
        formatted.__dict__.update(config.__dict__)
        return formatted

    @property
    def pretty_text(self) -> str:
        """The config as Python, which mmengine reads without this class; it is made anew only after a change."""
        content = repr(self._cfg_dict)
        if self.__dict__.get('_made_from') != content:
            self.__dict__.update(_text_made=_text(self, content), _made_from=content)
        return self.__dict__['_text_made']


def _text(config: Config, content: str) -> str:
    """mmengine's text of the config with stand-ins for long sequences, which then take their places."""
    mark = next(mark for mark in map('~{}~'.format, count()) if mark not in content)
    long = []

    def stand_in(sequence: list | tuple) -> str:
        long.append(sequence)
        return f'{mark}{len(long) - 1}~'

    short = Config(_replaced(config.to_dict(), stand_in), format_python_code=config._format_python_code)
    try:
        lines = short.pretty_text.split('\n')
    except SyntaxError as error:  # of whatever ended yapf, an interrupt as well
        if error.__context__ is not None and not isinstance(error.__context__, Exception):
            raise error.__context__ from None
        raise

    def written(line: str) -> str:
        margin = ' ' * (len(line) - len(line.lstrip()) + 4)
        return re.sub(f"'{mark}(\\d+)~'", lambda found: _literal(long[int(found[1])], margin), line)

    # Braces are doubled within texts alone, where mmengine would put variables in as it reads the file.
    return '\n'.join(map(written, lines)).replace('{{', r'{\x7b')


def _literal(sequence: list | tuple, margin: str) -> str:
    """A long sequence as Python, its lines after the first behind the margin."""
    return indent(pformat(sequence, width=max(WIDTH - len(margin), 1), compact=True), margin).lstrip()


def _replaced(value: Any, stand_in: Callable[[list | tuple], str]) -> Any:
    """``value`` with a stand-in for each of its long sequences of plain values."""
    if isinstance(value, dict):
        return {key: _replaced(item, stand_in) for key, item in value.items()}
    if type(value) in (list, tuple):
        if (_plain_values(value) or 0) > LONG:
            return stand_in(value)
        return type(value)(_replaced(item, stand_in) for item in value)
    return value


def _plain_values(value: Any) -> int | None:
    """How many plain values a nested sequence holds; None if it holds anything else."""
    if type(value) in PLAIN:
        return 1
    if type(value) not in (list, tuple):
        return None
    counts = [count for item in value if (count := _plain_values(item)) is not None]
    return sum(counts) if len(counts) == len(value) else None
