"""tools/analysis/benchmark_reassembly.py on small maps."""

import json
from pathlib import Path

import pytest
import torch

from mmagg.cli import benchmark_reassembly as command
from mmagg.cli.main import run
from mmagg.costs import reassembly as tool


def test_all_forms_are_measured_and_agree(capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool, 'CHANNELS', 64)
    file = tmp_path / 'out.json'
    assert run(command, f'--shape 160 288 --batch 1 --runs 1 --json {file}'.split()) == 0
    report = json.loads(file.read_text())
    results = report['results']
    assert len(results) == 2 * 3 * (2 + 3)  # passes; pairs of levels; forms up and down
    assert {r['levels'] for r in results if r['op'] == 'down'} == {'P2 → P3', 'P3 → P4', 'P4 → P5'}
    for r in results:
        assert r['difference'] < 1e-3
        assert r['ms'] > 0
    largest = {(r['run'], r['form']): r for r in results if (r['op'], r['levels']) == ('down', 'P2 → P3')}
    ours, unfolded = (largest['forward', form] for form in ('mmagg', 'unfold + einsum'))
    columns = 64 * 25 * 20 * 36 * 4 / 2**20
    assert unfolded['mib'] > columns > 2 * ours['mib']
    # float32 maps read and written once
    moved = 4 * (64 * 40 * 72 + 25 * 20 * 36 + 64 * 20 * 36) / 2**30
    assert ours['gib_per_s'] == pytest.approx(1e3 * moved / ours['ms'])
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith('| ')]
    assert len(rows) == 1 + len(results)
    assert rows[1].startswith('| up | P3 → P2 | float32 | forward | mmagg |')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [('--device nowhere', '--device nowhere: '), ('--json .', '--json .: is a folder'), ('--runs 0', '0 is below 1')],
)
def test_bad_input_is_named(arguments: str, message: str, capsys) -> None:
    try:
        code = run(command, arguments.split())
    except SystemExit as error:  # argparse's own
        code = error.code
    assert code == 2
    assert message in capsys.readouterr().err


@pytest.mark.gpu
def test_on_a_gpu(capsys) -> None:
    assert run(command, ['--device', 'cuda', '--shape', '64', '96', '--runs', '1']) == 0
    assert '| triton |' in capsys.readouterr().out


def test_full_resolution_is_the_same_map() -> None:
    x, kernels = torch.randn(1, 2, 5, 7), torch.randn(1, 25, 3, 4)
    torch.testing.assert_close(tool.sliced_down(x, kernels), tool.unfolded_down(x, kernels))
