"""Runtimes that are missing, too old, or cannot load a file: one line each."""

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from onnx_files import tiny, written

from mmagg.io.errors import InputError
from mmagg.runtime import sessions
from mmagg.runtime.sessions import open_session

RUNTIMES = [
    pytest.param(name, marks=pytest.mark.skipif(find_spec(name) is None, reason=f'{name} is not installed'))
    for name in ('onnxruntime', 'openvino')
]


@pytest.mark.parametrize('runtime', RUNTIMES)
def test_inputs_and_outputs(tmp_path: Path, runtime: str) -> None:
    path = written(tmp_path / 'a.onnx', tiny())
    session = open_session(path, runtime=runtime, threads=1)
    assert (session.runtime, session.dtype, session.batch) == (runtime, np.uint8, None)
    outputs = session.run(np.full((2, 3, 33, 40), 255, np.uint8), np.full((2, 2), 30))
    assert {name: x.shape for name, x in outputs.items()} == {
        'scores': (2, 3),
        'labels': (2, 3),
        'min_areas': (2, 3),
        'masks': (2, 3, 16, 16),
    }
    assert outputs['masks'][:, :, :8, :10].min() == 1
    assert outputs['labels'].dtype == np.int64
    later = session.run(np.zeros((2, 3, 33, 40), np.uint8), np.full((2, 2), 30))
    assert outputs['masks'].max() == 1, 'a later run does not write into earlier results'
    assert later['masks'].max() == 0
    fixed = open_session(written(tmp_path / 'b.onnx', tiny(batch=2, dtype='float')), runtime=runtime)
    assert (fixed.dtype, fixed.batch) == (np.float32, 2)


@pytest.mark.parametrize('runtime', RUNTIMES)
@pytest.mark.parametrize('fault', ['version', 'operator'])
def test_what_a_runtime_cannot_load(tmp_path: Path, runtime: str, fault: str, capfd) -> None:
    model = tiny()
    if fault == 'operator':
        model.graph.node[0].op_type = 'Unheard'
    elif runtime == 'onnxruntime':
        model.ir_version = 99
    else:
        pytest.skip('OpenVINO takes what it knows of a newer version')
    path = written(tmp_path / 'a.onnx', model)
    with pytest.raises(
        InputError, match=f'^{path}: {runtime} .* cannot load it: .* pip install -U {runtime}$'
    ) as error:
        open_session(path, runtime=runtime)
    assert '\n' not in str(error.value)
    assert capfd.readouterr() == ('', '')


def test_no_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / 'a.onnx', tiny())
    monkeypatch.setattr(sessions, 'find_spec', lambda name: None)
    with pytest.raises(InputError, match=f'^{path}: no runtime is installed: pip install onnxruntime$'):
        open_session(path)
    for name in ('onnxruntime', 'openvino'):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(InputError, match=rf'^{name}: cannot be imported .*: pip install {name}$'):
            open_session(path, runtime=name)


def test_arguments(tmp_path: Path) -> None:
    path = written(tmp_path / 'a.onnx', tiny())
    with pytest.raises(InputError, match=r'^runtime tensorrt: give one of onnxruntime, openvino$'):
        open_session(path, runtime='tensorrt')
    with pytest.raises(InputError, match=r'^threads 0: at least one$'):
        open_session(path, threads=0)
