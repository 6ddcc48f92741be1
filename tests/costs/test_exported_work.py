"""The benchmark of an exported model, made by hand, alone and beside a detector; and the memory of the process."""

from pathlib import Path

import numpy as np
import pytest
from colour_model import colour_model

from mmagg.costs.benchmark import benchmark, table
from mmagg.costs.exported_work import STAGES
from mmagg.costs.resident import STATUS, growth
from mmagg.io.errors import InputError


@pytest.fixture(scope='module')
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(colour_model(tmp_path_factory.mktemp('exported') / 'colours.onnx'))


@pytest.mark.skipif(not STATUS.is_file(), reason='Linux alone tells the memory of a process')
def test_the_peak_of_a_process_is_what_is_written_to() -> None:
    def work() -> None:
        np.ones(64 * 2**20, np.uint8)

    assert 60 < growth(work) / 2**20 < 100
    assert growth(lambda: None) < 2**24, 'an earlier peak does not count'


def test_an_exported_model_alone(model: str) -> None:
    report = benchmark(model, shape=(64, 96), runs=2, threads=1)
    (entry,) = report['models']
    assert (entry['config'], entry['layout'], entry['candidates']) == (model, 'onnxruntime', 3)
    assert set(entry['median_ms']) == {*STAGES, 'total'}
    for run in entry['runs_ms']:
        assert run['total'] == pytest.approx(sum(run[stage] for stage in STAGES))
        assert all(value > 0 for value in run.values())
    assert 'total' in table(report).splitlines()[-4 if entry['memory_mib'] else -1]


def test_beside_a_detector(model: str, root: Path) -> None:
    config = str(root / 'configs/demo/solo_tiny_shapes.py')
    report = benchmark(config, vs=model, shape=(64, 96), candidates=20, runs=1, threads=1)
    ours, exported = report['models']
    assert ours['candidates'] == 20
    assert ('process' in ours['memory_mib']) == ('process' in exported['memory_mib']) == STATUS.is_file()
    rows = {line.split('  ')[0]: line.split()[-3:] for line in table(report).splitlines()}
    assert rows['network'][0] == rows['network'][2] == '–'
    assert rows['backbone'][1:] == ['–', '–']
    total = [entry['median_ms']['total'] for entry in report['models']]
    assert rows['total'] == [f'{total[0]:.1f}', f'{total[1]:.1f}', f'{total[0] / total[1]:.2f}']


@pytest.mark.parametrize(
    ('more', 'said'),
    [
        ({'train': True}, 'is not trained: leave out --train'),
        ({'device': 'cuda:0'}, 'leave out --device cuda:0'),
        ({'compile': True}, 'leave out --compile'),
        ({'cfg_options': {'a': 1}}, 'give --cfg-options a=1 to `mmagg export`'),
    ],
)
def test_what_it_cannot_do_is_refused(model: str, more: dict, said: str) -> None:
    with pytest.raises(InputError) as caught:
        benchmark(model, **more)
    assert said in str(caught.value)


def test_a_file_for_one_size_has_no_other(tmp_path: Path) -> None:
    fixed = colour_model(tmp_path / 'fixed.onnx', shape=(64, 64))
    with pytest.raises(InputError, match=r'--shape 64 96: .*fixed\.onnx takes 64 64 alone'):
        benchmark(str(fixed), shape=(64, 96))
