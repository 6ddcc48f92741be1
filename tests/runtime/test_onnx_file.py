"""The metadata of ONNX files, and files that are none, against ONNX's own package."""

from pathlib import Path

import numpy as np
import pytest
from onnx_files import DESCRIBED, onnx, tiny, written

from mmagg.io.errors import InputError
from mmagg.runtime.description import KEY
from mmagg.runtime.onnx_file import onnx_metadata


def test_metadata(tmp_path: Path) -> None:
    path = written(tmp_path / 'a.onnx', tiny())
    assert onnx_metadata(path) == {KEY: DESCRIBED.to_json(), 'other': 'is left alone'}
    assert onnx_metadata(written(tmp_path / 'b.onnx', tiny(), None)) == {}
    long = 'é' * 10**5
    assert onnx_metadata(written(tmp_path / 'c.onnx', tiny(), long))[KEY] == long


def test_no_such_file(tmp_path: Path) -> None:
    for path, fault in ((tmp_path / 'a.onnx', 'no such file'), (tmp_path, 'is a folder')):
        with pytest.raises(InputError, match=f'^model {path}: {fault}$'):
            onnx_metadata(path)


@pytest.mark.parametrize('content', [b'', b'PK\x03\x04', b'\x80\x02}q', b'\xff' * 100, b'\x08\x01', b'a: text\n' * 9])
def test_no_onnx(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / 'a.onnx'
    path.write_bytes(content)
    with pytest.raises(InputError, match=f'^{path}: no ONNX file, or a corrupt one'):
        onnx_metadata(path)


def test_cut_off(tmp_path: Path) -> None:
    """At any byte it is refused, or is whole up to there: what follows is metadata."""
    content = written(tmp_path / 'a.onnx', tiny()).read_bytes()
    path, whole = tmp_path / 'b.onnx', tiny().SerializeToString()
    refused = 0
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        try:
            onnx_metadata(path)
        except InputError:
            refused += 1
    assert refused > len(whole) // 7


def test_damaged_at_random(tmp_path: Path) -> None:
    """No other error, whatever the bytes are."""
    rng = np.random.default_rng(0)
    content = np.frombuffer(written(tmp_path / 'a.onnx', tiny()).read_bytes(), np.uint8)
    path = tmp_path / 'b.onnx'
    refused = 0
    for _ in range(100):
        changed = content.copy()
        changed[rng.integers(0, len(content), 3)] = rng.integers(0, 256, 3)
        path.write_bytes(changed.tobytes())
        try:
            onnx_metadata(path)
        except InputError:
            refused += 1
    assert refused > 10


def test_weights_in_other_files_are_refused(tmp_path: Path) -> None:
    """Of the model itself, and of a graph inside it."""
    weight = onnx.numpy_helper.from_array(np.zeros(3, np.float32), 'weight')
    onnx.external_data_helper.set_external_data(weight, '../secret.bin')
    weight.ClearField('raw_data')
    plain, nested = tiny(), tiny()
    plain.graph.initializer.append(weight)
    branch = nested.graph.node[0].attribute.add()
    branch.name, branch.type = 'then_branch', onnx.AttributeProto.GRAPH
    branch.g.initializer.append(weight)
    for model in (plain, nested):
        path = tmp_path / 'a.onnx'
        path.write_bytes(model.SerializeToString())
        with pytest.raises(InputError, match=f'^{path}: its weights are in other files, which are not read'):
            onnx_metadata(path)
