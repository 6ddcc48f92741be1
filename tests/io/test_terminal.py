"""Text for terminals."""

import pytest

from mmagg.io.errors import InputError, one_line
from mmagg.io.terminal import printable, printable_output, single_line


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
    assert printable(text) == printable_output(text) == shown
    assert one_line(InputError(text)) == single_line(text) == ' '.join(shown.replace(r'a\rb', 'a b').split())


@pytest.mark.parametrize(
    'text', ['\r 10%|█ | 1/10', '\x1b[A\x1b[A', '2026 - \x1b[4m\x1b[97mINFO\x1b[0m - Epoch(train)']
)
def test_bars_and_coloured_levels_stay(text: str) -> None:
    assert printable_output(text) == text
    kept = printable(text) if text.endswith('A') else text  # a move of the cursor stands alone
    assert printable_output(f'{text}\x1b[2J') == f'{kept}\\x1b[2J'
