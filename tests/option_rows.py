"""The options that READMEs of methods document: rows of tables with a column "how", and options in sentences.

A row says how with code and few words: a config's name, options of it (`M` stands for `model.mask_head.masks`), a value
alone, which is another one of the last option, "the base" or "the base of Table 1", and "the same", the row above. A
slash between spaces stands between alternatives. The base of a table is named in a sentence above it; without one it is
the config of the row above. In a table of options the last cell has their other values: literals and classes, in code.
"""

import re
import shlex
from dataclasses import dataclass, field

SHORT = {'M': 'model.mask_head.masks'}
ROW = re.compile(r'^\|.*\|$')
CONFIG = re.compile(r'(?:mmdet::[\w./-]+|[\w-]+_coco)\.py')
OPTION = re.compile(r'^"?(?:--cfg-options )?([A-Za-z_]\w*(?:\.\w+)*)=\S')
NUMBERS = r'(\d+)(?:(?:,| and| to) (\d+))?'
BASES = re.compile(rf'(?:base of|of) Tables? {NUMBERS} (?:is )?`([\w-]+_coco\.py)`')
EACH = re.compile(r'Each row is a config, or `([\w-]+_coco\.py)`')


@dataclass(frozen=True)
class Documented:
    """A config with options, as a README documents it.

    Attributes:
        place: the row's first cell, or the code itself.
        config: its file's name.
        options: words after ``--cfg-options``, keys written out.
    """

    place: str
    config: str
    options: tuple[str, ...] = ()


@dataclass
class Found:
    """What a README documents, and the code with ``=`` that is no option with a place in a config."""

    rows: list[Documented] = field(default_factory=list)
    sentences: list[Documented] = field(default_factory=list)
    relative: list[str] = field(default_factory=list)


def option_rows(page: str) -> Found:
    """Read a README.

    Raises:
        ValueError: a row of a table with a column "how" cannot be understood.
    """
    found, bases = Found(), _bases(page)
    configs = CONFIG.findall(re.sub(r'mmdet::\S+', '', page))
    for block in re.split(r'\n\s*\n', page):
        lines = [line for line in block.splitlines() if not line.startswith('    ')]
        if lines and ROW.match(lines[0]) and 'how' in (header := _cells(lines[0])):
            _read_table(lines[2:], header.index('how'), bases, found)
            continue
        if lines and ROW.match(lines[0]) and header[0].startswith('option'):
            found.relative += [option for line in lines[2:] for option in _others(*_cells(line))]
        for text in lines if lines and ROW.match(lines[0]) else [' '.join(lines)]:
            for code in re.findall(r'`([^`]+)`', text):
                if not (match := OPTION.match(code)):
                    continue
                named = CONFIG.findall(text)
                words = _words(code)
                if '.' in match[1] and match[1].split('.')[0] in ROOTS:
                    found.sentences.append(Documented(code, named[0] if named else configs[0], words))
                else:
                    found.relative.append(code)
    return found


ROOTS = {'M', 'model', 'tta_model', 'optim_wrapper', 'auto_scale_lr'} | {
    f'{stage}_dataloader' for stage in ('train', 'val', 'test')
}


def _others(names: str, *values: str) -> list[str]:
    """Each option of a row of a table of options, with each value in code in the last cell."""
    found = []
    for name in re.findall(r'`([\w.]+)`', names):
        for code in re.findall(r'`([^`]+)`', values[-1]):
            if re.match(r"'|dict\(|\d|(None|True|False)$", code):
                found.append(f'{name}={code}')
            elif re.fullmatch(r'[A-Z]\w+', code):
                found.append(f"{name}='{code}'" if name.endswith('.type') else f"{name}=dict(type='{code}')")
    return found


def _bases(page: str) -> dict[int | None, str]:
    """The base of each numbered table; under None that of all others."""
    text, bases = ' '.join(page.split()), {}
    for first, last, name in BASES.findall(text):
        joined = re.search(rf'Tables? {first} to {last} ', text) if last else None
        numbers = range(int(first), int(last) + 1) if joined else [int(one) for one in (first, last) if one]
        bases |= dict.fromkeys(numbers, name)
    if match := EACH.search(text):
        bases[None] = match[1]
    return bases


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r'(?<!\\)\|', line.strip('|'))]


def _words(code: str) -> tuple[str, ...]:
    """Options with their keys written out; the words of one in brackets or quotes stay together."""
    words = shlex.split(code) if '"' in code else code.split() if 'dict(' not in code else [code]
    return tuple(re.sub(r'^(\w+)(?=\.)', lambda m: SHORT.get(m[1], m[1]), word) for word in words if '=' in word)


def _read_table(lines: list[str], column: int, bases: dict, found: Found) -> None:
    above: Documented | None = None
    for line in lines:
        cells = _cells(line)
        place, how = cells[0], cells[column]
        number = int(match[1]) if (match := re.match(r'(\d+)', place)) else None
        named = re.search(r'the base of Table (\d+)', how)
        base = bases.get(int(named[1]) if named else number, bases.get(None)) or (above and above.config)
        alternatives: list[Documented] = []
        for part in re.split(r' / ', how):
            last = alternatives[-1] if alternatives else None
            # "the base" between two values has no option of its own.
            last = next((one for one in reversed(alternatives) if one.options), last)
            alternatives.append(_alternative(part, place, base, last, above))
        found.rows += alternatives
        above = alternatives[0]


def _alternative(
    part: str, place: str, base: str | None, last: Documented | None, above: Documented | None
) -> Documented:
    config, options = base, []
    codes, prose = re.findall(r'`([^`]+)`', part), re.sub(r'`[^`]+`', '', part)
    if 'the same' in prose and above is not None:
        config, options = above.config, [*above.options]
    elif 'as it is' in prose and last is not None:
        config = last.config
    elif not codes and 'the base' not in prose:
        raise ValueError(f'row "{place}": how is "{part}"? Name a config, options, "the base" or "the same"')
    for code in codes:
        if CONFIG.fullmatch(code):
            config, options = code, []
        elif OPTION.match(code):
            options += _words(code)
        elif last is not None and last.options:
            *others, option = last.options
            config, options = last.config, [*others, f'{option.partition("=")[0]}={code.strip(chr(34))}']
        else:
            raise ValueError(f'row "{place}": `{code}` is neither a config nor an option, nor another value of one')
    if config is None:
        raise ValueError(f'row "{place}": of which config? Name the base of the table')
    return Documented(place, config, tuple(options))
