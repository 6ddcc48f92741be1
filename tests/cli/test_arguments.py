"""Numbers that a command cannot work with are refused with their flag, before anything heavy is imported."""

import pytest

from mmagg.cli.main import COMMANDS, run


@pytest.mark.parametrize(
    ('command', 'words', 'line'),
    [
        *(
            (command, f'{words} {value}', f'{value} is not a whole number from 0 to 4294967295')
            for command, words in (
                ('train', 'c.py --seed'),
                ('browse', 'c.py --seed'),
                ('compare-learning', 'c.py --coco d --seeds 1'),
                ('compare-results', 'a.json b.json c.json --out o --seed'),
                ('fit-mask-codec', 'a.json --seed'),
                ('make-shapes', 'out --seed'),
                ('split-coco', 'in out --seed'),
            )
            for value in (-1, 2**32)
        ),
        ('train', 'c.py --freeze -1', '-1 is below 0'),
        ('train', 'c.py --workers -1', '-1 is below 0'),
        ('demo', 'a.png c.py c.pth --out-dir o --workers -1', '-1 is below 0'),
        ('demo', 'a.png c.py c.pth --out-dir o --batch-size 0', '0 is below 1'),
        ('test', 'c.py c.pth --show-score-thr 2', '2.0 is not between 0 and 1'),
        ('test', 'c.py c.pth --overlap nan', 'nan is not between 0 and 1'),
    ],
)
def test_numbers_out_of_range(command: str, words: str, line: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        run(COMMANDS[command], words.split())
    flag = next(word for word in reversed(words.split()) if word.startswith('--'))
    assert capsys.readouterr().err.splitlines()[-1].endswith(f'error: argument {flag}: {line}')
