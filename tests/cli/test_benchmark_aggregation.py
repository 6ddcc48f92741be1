"""tools/analysis/benchmark_aggregation.py on small masks."""

import re

from mmagg.cli import benchmark_aggregation as command
from mmagg.cli.main import run


def test_both_forms_are_measured_and_agree(capsys) -> None:
    assert run(command, ['--candidates', '12', '--shape', '40', '56', '--runs', '1']) == 0
    out = capsys.readouterr().out
    assert float(re.search(r'largest difference (\S+)', out)[1]) < 1e-4
    # 21 -> 4 -> 4 -> 1 channels with 3 x 3 kernels
    assert f'{12 * 40 * 56 * 9 * (21 * 4 + 4 * 4 + 4) / 1e9:.1f} G multiply-adds' in out
    release, mmagg, ratio = (
        [float(x) for x in re.findall(r'[\d.]+', line)[-3:]] for line in out.strip().splitlines()[-3:]
    )
    assert release[2] > mmagg[2]
    assert 0 < ratio[-1] < 1


def test_impossible_work_is_refused(capsys) -> None:
    assert run(command, ['--candidates', '2000']) == 2
    assert '--candidates 2000: the grid has 1600 cells' in capsys.readouterr().err
