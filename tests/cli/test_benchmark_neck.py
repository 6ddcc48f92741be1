"""tools/analysis/benchmark_neck.py on a small image."""

import re

import pytest

from mmagg.cli import benchmark_neck as command
from mmagg.cli.main import run


@pytest.mark.parametrize('more', [[], ['--train']], ids=['inference', 'training'])
def test_both_forms_are_measured_and_agree(root, capsys, more) -> None:
    config = str(root / 'configs/demo/mask-rcnn-a2fpn_tiny_shapes.py')
    assert run(command, [config, '--shape', '256', '320', '--runs', '1', *more]) == 0
    out = capsys.readouterr().out
    difference, largest = re.search(r'largest difference (\S+) of (\S+)', out).groups()
    assert float(largest) > 0
    assert float(difference) < 1e-4 * float(largest)
    rows = out.strip().splitlines()[-3:]
    plain, half, ours = ([float(x) for x in re.findall(r'[\d.]+', row)[-4:]] for row in rows)
    assert plain[1] > half[1] > ours[1] > 0
    assert ours[2:] == [1, 1]
    # MiB are printed without decimals.
    assert (ours[1] - 0.5) / (plain[1] + 0.5) - 0.005 <= plain[3] <= (ours[1] + 0.5) / (plain[1] - 0.5) + 0.005


def test_another_neck_is_named(root, capsys) -> None:
    config = str(root / 'configs/demo/mask-rcnn-fpn_tiny_shapes.py')
    assert run(command, [config]) == 2
    assert 'the neck is a FPN, not an A2FPN' in capsys.readouterr().err
