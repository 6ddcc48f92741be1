"""Fonts that have the characters of a text: matplotlib's DejaVu Sans, or else an installed one.

DejaVu Sans has Latin, Greek and Cyrillic letters. For others, the system's fonts are searched, also those that were
installed after matplotlib listed them.
"""

import unicodedata
import warnings
from collections.abc import Iterator
from functools import lru_cache

import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from PIL import ImageFont

from mmagg.io.terminal import printable

PLACEHOLDER = '□'  # in place of a character that no font has
UNSEEN = ('Cc', 'Cf', 'Zs', 'Zl', 'Zp')  # categories of characters without ink: controls, formats and spaces
LAST_RESORT = 'Last Resort'  # matplotlib's font with an empty box for every character
_warned: set[str] = set()


def readable(text: str, instead: str | None = None) -> str:
    """A text as it can be drawn: ``instead`` where no font has all of its characters, with one warning that names them.

    By default, the missing characters alone are replaced. Charts then have the font as well. Control characters, which
    an SVG cannot have, are written as by `printable`.
    """
    text = '\n'.join(map(printable, text.splitlines()))
    path = font_of(text)
    if path is not None:
        _let_charts_use(path)
        return text
    missing = [letter for letter in dict.fromkeys(text) if font_of(letter) is None]
    new = ''.join(letter for letter in missing or [f'all of {text}'] if letter not in _warned)
    if new:
        _warned.update(missing or [new])
        warnings.warn(
            f'no installed font has {new}; install one, e.g. Noto Sans (Debian: fonts-noto-core, fonts-noto-cjk)',
            stacklevel=2,
        )
    if instead is not None:
        return instead
    return ''.join(PLACEHOLDER if letter in missing else letter for letter in text)


@lru_cache
def default_font() -> str:
    """The path of DejaVu Sans, which matplotlib brings."""
    return font_manager.findfont('DejaVu Sans')


@lru_cache(maxsize=4096)
def font_of(text: str) -> str | None:
    """The path of the first font with all characters of a text; None where there is none."""
    needed = {ord(letter) for letter in text if unicodedata.category(letter) not in UNSEEN}
    if needed <= _characters(default_font()):
        return default_font()
    return next((path for path in _installed() if needed <= _characters(path)), None)


@lru_cache(maxsize=4096)
def _characters(path: str) -> frozenset[int]:
    """The characters that a font has; none if it cannot be read, or has pixels instead of outlines (emojis)."""
    try:
        font = FT2Font(path)
        ImageFont.truetype(path, 12)
    except (OSError, RuntimeError):
        return frozenset()
    return frozenset(font.get_charmap()) if font.scalable else frozenset()


def _installed() -> Iterator[str]:
    """The fonts that matplotlib knows, plain ones first, then those of the system that it does not know yet."""
    known = font_manager.fontManager.ttflist
    plain = sorted(known, key=lambda font: (font.style != 'normal', font.weight != 400, 'Sans' not in font.name))
    yield from (font.fname for font in plain if not font.name.startswith(LAST_RESORT))
    yield from sorted(set(font_manager.findSystemFonts()) - {font.fname for font in known})


def _let_charts_use(path: str) -> None:
    """Add a font to matplotlib's, which takes from it what the first one lacks."""
    if path == default_font():
        return
    family = FT2Font(path).family_name
    if family not in matplotlib.rcParams['font.family']:
        font_manager.fontManager.addfont(path)
        matplotlib.rcParams['font.family'] = [*matplotlib.rcParams['font.family'], family]
