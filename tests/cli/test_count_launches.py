"""tools/analysis/count_launches.py on a tiny model."""

import json
import os
import re

import pytest

from mmagg.cli import count_launches as command
from mmagg.cli.main import run
from mmagg.costs.cuda_guard import guarded
from mmagg.costs.launches import count_launches


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


NECKS = """
from mmdet.models.necks import FPN
from mmdet.registry import MODELS
import torch

@MODELS.register_module()
class DoublingFPN(FPN):
    def forward(self, x):
        return tuple(2 * y for y in super().forward(x))

@MODELS.register_module()
class HostFPN(FPN):
    def forward(self, x):
        return tuple(y + torch.zeros(y.shape[-1]) for y in super().forward(x))
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Configs with a neck of one's own, by its class."""
    (tmp_path / 'necks_of_ones_own.py').write_text(NECKS)
    monkeypatch.setenv('PYTHONPATH', str(tmp_path), prepend=os.pathsep)
    guarded.cache_clear()
    for neck in ('DoublingFPN', 'HostFPN'):
        (tmp_path / f'{neck}.py').write_text(
            "_base_ = 'mmagg::solo/solo_r50_fpn_1x_coco.py'\n"
            "custom_imports = dict(imports=['mmagg.register', 'necks_of_ones_own'])\n"
            f"model = dict(neck=dict(type='{neck}'))\n"
        )
    yield tmp_path
    guarded.cache_clear()


def test_places_in_files_of_ones_own(own) -> None:
    report = count_launches(str(own / 'DoublingFPN.py'), shape=(64, 96))
    assert [5, 'mul', 'necks_of_ones_own.py:9 <genexpr>'] in report['places']['launches']


def test_what_cuda_refuses_is_said_in_a_line(own, capsys) -> None:
    assert run(command, [str(own / 'HostFPN.py'), '--shape', '64', '96', '--traceback']) == 2
    *trace, line = capsys.readouterr().err.splitlines()
    assert 'add.Tensor: tensors of both devices: (1, 256, 16, 24) on cuda:0, (24,) on cpu' in line
    assert any('necks_of_ones_own.py", line 14' in one for one in trace)  # of the process that counts


def test_a_module_that_is_not_there_is_said_in_a_line(own, capsys) -> None:
    (own / 'necks_of_ones_own.py').unlink()
    assert run(command, [str(own / 'HostFPN.py'), '--shape', '64', '96']) == 2
    captured = capsys.readouterr()
    assert 'Failed to import custom modules' in captured.err
    assert 'Traceback' not in captured.err
