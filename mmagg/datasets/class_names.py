"""Names of classes: what is odd about them, and which ones are meant by others."""

import difflib
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence

from mmagg.datasets.findings import Findings

SHOWN = 20  # names that a message lists
TWINS = (
    'class names that differ only in case, spaces or how letters are composed '
    '(the model takes them for different classes: merge them in the annotation tool)'
)
UNREADABLE = 'class names that are empty or have a line break (rename them in the annotation tool)'


def check_names(findings: Findings, objects: Mapping[str, int]) -> None:
    """Add what is odd about the names of classes; similar ones, as cup and cap, are not.

    Args:
        findings: what is added to.
        objects: the number of objects of each class.
    """
    groups = defaultdict(list)
    for name in objects:
        groups[_plain(name)].append(name)
    twins = (names for plain, names in groups.items() if plain and len(names) > 1)
    findings.add('warning', TWINS, (' and '.join(_counted(name, objects) for name in names) for names in twins))
    unreadable = (name for name in objects if not name.strip() or name.splitlines() != [name])
    findings.add('warning', UNREADABLE, (_counted(name, objects) for name in unreadable))


def meant_names(unknown: Sequence[str], known: Sequence[str]) -> str:
    """The likely spelling of each unknown name that has one, as ' (disk: did you mean disc?)'; '' if none has."""
    same = {_plain(name): name for name in known}
    near = {
        name: [same[_plain(name)]] if _plain(name) in same else difflib.get_close_matches(name, known, n=1)
        for name in unknown
    }
    meant = [f'{name}: did you mean {names[0]}?' for name, names in near.items() if names]
    return f' ({" ".join(meant[:SHOWN])})' if meant else ''


def _plain(name: str) -> str:
    """A name without spaces and case, its letters composed."""
    return unicodedata.normalize('NFC', ''.join(name.casefold().split()))


def _counted(name: str, objects: Mapping[str, int]) -> str:
    """A name and its number of objects; letters that are not composed, which look the same, by their codes."""
    count = objects[name]
    shown = repr(name) if unicodedata.is_normalized('NFC', name) else ascii(name)
    return f'{shown} of {count} {"object" if count == 1 else "objects"}'
