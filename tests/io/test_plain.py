"""Text for terminals."""

import pytest

from mmagg.io.errors import InputError, one_line, shortened
from mmagg.io.plain import plain, plain_output


@pytest.mark.parametrize(
    'text, shown',
    [
        ('Größe, 木, עברית, a\tb\n', 'Größe, 木, עברית, a\tb\n'),
        ('\x1b]0;title\x07', r'\x1b]0;title\x07'),
        ('a\rb\x9b31m\x7f', r'a\rb\x9b31m\x7f'),
        ('gpj.\u202eexe', r'gpj.\u202eexe'),
        ('name\udcff.png', r'name\udcff.png'),
    ],
)
def test_control_characters_are_written_out(text: str, shown: str) -> None:
    assert plain(text) == plain_output(text) == shown
    assert one_line(InputError(text)) == shortened(text) == ' '.join(shown.replace(r'a\rb', 'a b').split())


@pytest.mark.parametrize(
    'text', ['\r 10%|█ | 1/10', '\x1b[A\x1b[A', '2026 - \x1b[4m\x1b[97mINFO\x1b[0m - Epoch(train)']
)
def test_bars_and_coloured_levels_stay(text: str) -> None:
    assert plain_output(text) == text
    assert plain_output(f'{text}\x1b[2J') == f'{plain_output(text) if text[-1] != "A" else plain(text)}\\x1b[2J'
