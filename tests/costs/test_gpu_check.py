"""The check of a GPU, rehearsed on the CPU: its table is whole whatever a part does."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import mmdet
import pytest
import torch

from mmagg.costs.gpu_check import FAMILIES, HEAD, Check, ending, in_words, waits

PREDICT = {'images': 1, 'ms': 20.0, 'mib': 512.0, 'waits': 9, 'places': [], 'stand_in': False}
PREDICT['amp'] = {'fp16': True, 'bf16': False}
TRAIN = PREDICT | {'images': 2, 'ms': 200.0, 'waits': 7, 'places': ['solo.py:12'], 'stand_in': True, 'amp': {}}
REASSEMBLY = {'copy_gib_per_s': 1000.0, 'results': []}
for levels in ('P3 → P2', 'P4 → P3'):
    result = dict(op='up', levels=levels, dtype='float32', run='forward', form='triton', ms=0.1, gib_per_s=900.0)
    REASSEMBLY['results'].append(result)


@pytest.fixture
def check() -> Check:
    return Check(device='cpu', shape=(64, 96), seconds=60)


def test_rows_of_results(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(words: list[str], seconds: float) -> tuple[str, int]:
        if '--part' not in words:
            return 'FAILED tests/ops/test_x.py::test_y[(3, 1)] - a | b\n1 failed, 66 passed, 3 skipped in 12.34s\n', 1
        part, _, file = words[-3:]
        reports = {'model': {'predict': PREDICT, 'train': TRAIN}, 'reassembly': REASSEMBLY}
        if part in reports:
            Path(file).write_text(json.dumps(reports[part]))
        return 'Traceback\nValueError: a | b\n', 1

    monkeypatch.setattr(check, 'run', run)
    rows = list(check.rows())
    assert ('tests', '`-m gpu`', '1 failed, 66 passed, 3 skipped', '0 failed') in rows
    assert ('tests', '`tests/ops/test_x.py::test_y[(3, 1)]`', 'failed', 'passed') in rows
    found = [row for row in rows if row[0] == 'reassembly']
    assert found == [('reassembly', 'up P3 → P2, float32, forward, triton', '0.1 ms, 90 % of a copy', '≥ 90 %')]
    assert ('aggregation', 'all', 'ended with 1: ValueError: a / b', '') in rows
    predict = '50.0 images/s, peak 512 MiB, 9 waits, fp16 finite, bf16 NOT FINITE'
    assert ('model', 'BlendMask, predict', predict, '≤ 12 waits') in rows
    train = '200 ms a step, peak 512 MiB, 7 waits, stand-in for mmcv'
    assert ('model', 'MEInst, train', train, '≤ 6 waits') in rows
    assert ('model', 'MEInst, train: a wait', '`solo.py:12`', '') in rows
    assert ('model', 'mmdet::solov2/solov2, train', train, '') in rows


def test_a_part_that_takes_too_long_costs_its_rows_alone(check: Check) -> None:
    assert check.run([sys.executable, '-c', 'print(1, flush=True); import time; time.sleep(60)'], 2) == ('1\n', None)
    assert check.run([sys.executable, '-c', 'print(2)'], 20) == ('2\n', 0)


def test_nothing_begins_when_time_is_over() -> None:
    check = Check(device='cpu', shape=(64, 96), seconds=0)
    rows = list(check.rows())
    assert len(rows) == 4 + len(FAMILIES) + sum(family.theirs is not None for family in FAMILIES.values())
    assert {row[2] for row in rows[1:]} == {'took longer than there was time for'}


def test_configs_are_there(root: Path) -> None:
    theirs = Path(mmdet.__file__).parent / '.mim/configs'
    for family in FAMILIES.values():
        assert (root / 'configs' / family.config).is_file()
        assert family.theirs is None or (theirs / family.theirs.removeprefix('mmdet::')).is_file()


def test_waits_are_seen_by_their_places() -> None:
    with waits(torch.device('cpu')) as places:
        warnings.warn('called a synchronizing CUDA operation', UserWarning)
        warnings.warn('something else', UserWarning)
    assert [place.partition(':')[0] for place in places] == ['test_gpu_check.py']


def test_words() -> None:
    assert ending('') == 'nothing was printed'
    assert ending('a\nb | c\n\n') == 'b / c'
    assert in_words(PREDICT | {'amp': {'fp16': 'RuntimeError: x'}}).endswith('9 waits, fp16 RuntimeError: x')


def test_the_script(root: Path, tmp_path: Path) -> None:
    script, wheels, out = root / 'tools/gpu_check.sh', tmp_path / 'wheels', tmp_path / 'table.md'
    environment = os.environ | {'PYTHON': sys.executable}
    done = subprocess.run(['bash', script], env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert 'WHEELS is a folder' in done.stderr
    wheels.mkdir()
    command = ['bash', script, wheels, out, '--device', 'cpu', '--seconds', '0']
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = out.read_text().splitlines()
    assert '\n'.join(lines[:2]) == HEAD
    assert lines[2].startswith('| machine | ')
    assert all(line.count('|') == 5 for line in lines)


@pytest.mark.parametrize(
    ('words', 'line'),
    [
        (['nowhere'], 'error: WHEELS nowhere: no such folder (tools/gpu_check.sh --help)'),
        (['.', 'table.md', '--device', 'nonsense'], 'error: --device nonsense: '),
        (['.', '.'], 'error: OUT .: is a folder; name a file'),
        (['.', 'table.md', '--device', 'cpu', '--shape', '800', '1333'], '--shape: both must be multiples of 32'),
    ],
)
def test_what_the_script_cannot_use_is_said_in_a_line(root: Path, tmp_path: Path, words: list[str], line: str) -> None:
    command = ['bash', root / 'tools/gpu_check.sh', *words]
    environment = os.environ | {'PYTHON': sys.executable}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert line in done.stderr.splitlines()[-1]
    assert 'Traceback' not in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_scripts_help_is_no_error(root: Path) -> None:
    done = subprocess.run(['bash', root / 'tools/gpu_check.sh', '--help'], capture_output=True, text=True)
    assert done.returncode == 0
    assert 'PYTHON=/path/to/python' in done.stdout.splitlines()[-1]


MODEL = """
import json, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name == 'mmcv._ext':
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Absent())
from mmagg.costs.gpu_check import measure_model
print(json.dumps(measure_model(config=sys.argv[1], device='cpu', shape=(64, 64), candidates=20)))
"""


def test_a_model_without_mmcvs_operators(root: Path) -> None:
    """As on a machine where they are not compiled; SOLO needs none on the CPU."""
    config = root / 'configs/demo/solo_tiny_shapes.py'
    done = subprocess.run([sys.executable, '-c', MODEL, config], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert {part: one['images'] for part, one in found.items()} == {'predict': 1, 'train': 2}
    for one in found.values():
        assert one['ms'] > 0
        assert one['stand_in']
        assert (one['waits'], one['places'], one['amp']) == (0, [], {})
