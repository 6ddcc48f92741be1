"""Names in other scripts, with a font made for the test."""

import warnings
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.figure import Figure

from mmagg.visualization import fonts
from mmagg.visualization.canvas import Canvas
from mmagg.visualization.chart import write_chart
from mmagg.visualization.fonts import PLACEHOLDER, default_font, font_of, readable
from mmagg.visualization.text import text_opacity

KNOWN, UNKNOWN = '\U0010f001', '\U0010f002'  # private characters: no real font has them


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch):
    """Nothing is remembered of earlier tests, nor for later ones."""
    monkeypatch.setattr(fonts, '_warned', set())
    monkeypatch.setattr(font_manager.fontManager, 'ttflist', [*font_manager.fontManager.ttflist])
    families = [*matplotlib.rcParams['font.family']]
    font_of.cache_clear()
    yield
    font_of.cache_clear()
    matplotlib.rcParams['font.family'] = families


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A font that was installed after matplotlib listed them; it has one character, a square, and Latin none."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for point in ((0, 700), (700, 700), (700, 0)):
        pen.lineTo(point)
    pen.closePath()
    builder = FontBuilder(1000)
    builder.setupGlyphOrder(['.notdef', 'square'])
    builder.setupCharacterMap({ord(KNOWN): 'square'})
    builder.setupGlyf({'.notdef': TTGlyphPen(None).glyph(), 'square': pen.glyph()})
    builder.setupHorizontalMetrics({'.notdef': (500, 0), 'square': (800, 0)})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({'familyName': 'Private', 'styleName': 'Regular'})
    builder.setupOS2(sTypoAscender=800, usWinAscent=800, usWinDescent=200)
    builder.setupPost()
    path = str(tmp_path / 'private.ttf')
    builder.save(path)
    monkeypatch.setattr(font_manager, 'findSystemFonts', lambda: [path])
    return path


@pytest.mark.parametrize('text', ['', 'cat', 'žlutý kůň', 'Ελλάδα', 'собака', 'a\nb'])
def test_latin_greek_and_cyrillic_need_no_other_font(text: str) -> None:
    assert font_of(text) == default_font()
    assert readable(text, '7') == text


def test_a_font_that_has_the_characters_is_found(installed: str) -> None:
    assert font_of(KNOWN) == installed
    assert readable(KNOWN, '7') == KNOWN
    assert text_opacity(KNOWN, 20).mean() > 0.3  # the square


def test_a_chart_with_control_characters_is_whole(tmp_path: Path) -> None:
    assert readable('a\x1b[31m') == r'a\x1b[31m'
    figure = Figure()
    figure.text(0.5, 0.5, readable('a\x00\x07\x1b'))
    write_chart(figure, tmp_path / 'chart.svg')
    ElementTree.parse(tmp_path / 'chart.svg')  # it was no XML, and a report showed nothing


def test_charts_and_sheets_use_it(installed: str, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter('error')  # matplotlib warns of each glyph that is missing
        figure = Figure()
        figure.text(0.5, 0.5, readable(KNOWN, '7'))
        write_chart(figure, tmp_path / 'chart.svg')
        canvas = Canvas(40, 40)
        canvas.write(KNOWN, x=20, y=20)
        assert (canvas.picture() < 128).sum() > 100


def test_without_a_font_there_is_one_warning_and_something_readable() -> None:
    with pytest.warns(UserWarning, match=f'no installed font has {UNKNOWN}; install one'):
        assert readable(f'a {UNKNOWN}', '7') == '7'
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert readable(f'b {UNKNOWN}') == f'b {PLACEHOLDER}'
        canvas = Canvas(40, 80)
        canvas.write(f'c {UNKNOWN}', x=40, y=20)
        canvas.picture()


def test_characters_of_several_fonts(installed: str) -> None:
    with pytest.warns(UserWarning, match=f'no installed font has all of a {KNOWN}; install one'):
        assert readable(f'a {KNOWN}', '7') == '7'


def test_a_text_is_one_line() -> None:
    for text in ('a\nb', 'a\r\nb', 'a\x85b', 'a\u2028b'):
        assert (text_opacity(readable(text), 12) == text_opacity('a b', 12)).all()


def test_lines_of_a_size_are_equally_high() -> None:
    heights = {text_opacity(text, 14).shape[0] for text in ('a', 'Ág', '_', 'Ж', '')}
    assert len(heights) == 1
    assert np.ptp(text_opacity('Ág', 14)) == 1
