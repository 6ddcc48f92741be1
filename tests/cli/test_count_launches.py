"""tools/analysis/count_launches.py on a tiny model."""

import json
import re

import pytest

from mmagg.cli import count_launches as command
from mmagg.cli.main import run


def test_launches_and_waits_are_told_with_their_places(root, tmp_path, capsys) -> None:
    file = tmp_path / 'counts.json'
    arguments = ['--shape', '64', '96', '--candidates', '10', '--json', str(file)]
    assert run(command, [str(root / 'configs/demo/solo_tiny_shapes.py'), *arguments]) == 0
    out, report = capsys.readouterr().out, json.loads(file.read_text())
    launches, *parts = map(int, re.search(r'launches +(\d+): backbone (\d+), neck (\d+), rest (\d+)', out).groups())
    assert launches == sum(parts) == report['launches'] > 0
    rows = re.findall(r'^ +(\d+)  (mmagg/\S+\.py:\d+) ', out.partition('waits by place')[2].partition('\n\n')[0], re.M)
    assert sum(int(number) for number, _ in rows) == report['waits'] == sum(n for n, *_ in report['places']['waits'])


@pytest.mark.parametrize(
    ('arguments', 'line'),
    [
        (['--shape', '65', '96'], 'both must be multiples of 32'),
        (['--shape', '64', '96', '--candidates', '100000'], '--candidates'),
    ],
)
def test_what_cannot_be_counted_is_said_in_a_line(root, capsys, arguments: list[str], line: str) -> None:
    assert run(command, [str(root / 'configs/demo/solo_tiny_shapes.py'), *arguments]) == 2
    assert line in capsys.readouterr().err
