"""Detectron2's files: arrays are read, also those that Python 2 wrote, and code is refused."""

import os
import pickle
import struct

import numpy as np
import pytest
import torch

from mmagg.convert.adelaidet import read_release
from mmagg.io.errors import InputError


def python_2_pickle(values):
    """{'model': {'x': float32 array of two}} as Python 2 and its NumPy wrote it: text and data are byte strings."""
    data = struct.pack('<2f', *values)
    return (
        b'\x80\x02}U\x05model}U\x01xcnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR'
        b'(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb'
        b'\x89U' + bytes([len(data)]) + data + b'tbss.'
    )


@pytest.mark.parametrize('protocol', range(2, 6))
def test_pickles_of_arrays(protocol, tmp_path):
    arrays = {
        'conv': np.random.default_rng(0).standard_normal((2, 3, 1)).astype(np.float32),
        'transposed': np.arange(6.0).reshape(2, 3).T,
        'count': np.array(7),
    }
    path = tmp_path / 'model.pkl'
    content = {'model': arrays, '__author__': 'Detectron2', 'matching_heuristics': True, 'AP': np.float64(35.8)}
    path.write_bytes(pickle.dumps(content, protocol))
    state = read_release(path)
    assert state.keys() == arrays.keys()
    assert all(
        np.array_equal(state[key].numpy(), x) and state[key].numpy().dtype == x.dtype for key, x in arrays.items()
    )


def test_pickles_of_python_2(tmp_path):
    path = tmp_path / 'model.pkl'
    path.write_bytes(python_2_pickle([1.5, -3e38]))
    torch.testing.assert_close(read_release(path)['x'], torch.tensor([1.5, -3e38]), rtol=0, atol=0)


@pytest.mark.parametrize('name', ['module.x', 'x'])
@pytest.mark.parametrize('wrap', [lambda state: {'model': state, 'iteration': 3}, lambda state: state])
def test_torch_files(wrap, name, tmp_path):
    torch.save(wrap({name: torch.ones(2)}), tmp_path / 'model.pth')
    assert read_release(tmp_path / 'model.pth')['x'].tolist() == [1, 1]


class Call:
    """Pickles as a call."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize('protocol', [2, 4])
@pytest.mark.parametrize(
    'call, name',
    [
        (Call(os.system, 'touch ran'), 'posix.system'),
        (Call(eval, '1'), 'eval'),
        (Call(getattr, np.ndarray, 'tofile'), 'getattr'),
        (torch.ones(2), 'torch._utils._rebuild_tensor_v2'),
    ],
    ids=['system', 'eval', 'getattr', 'tensor'],
)
def test_what_is_more_than_arrays_is_refused(call, name, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / 'model.pkl'
    path.write_bytes(pickle.dumps({'model': {'x': call}}, protocol))
    with pytest.raises(InputError, match='refused, because it holds more than arrays') as caught:
        read_release(path)
    assert f'{name})' in str(caught.value)
    assert str(path) in str(caught.value)
    assert '\n' not in str(caught.value)
    assert not (tmp_path / 'ran').exists()


def test_code_runs_for_those_who_trust_it(tmp_path):
    (tmp_path / 'model.pkl').write_bytes(pickle.dumps({'model': {'x': torch.ones(2)}}))
    assert read_release(tmp_path / 'model.pkl', trust=True)['x'].tolist() == [1, 1]


@pytest.mark.parametrize(
    'content, message',
    [
        (pickle.dumps({'model': {'x': np.ones(9)}})[:-20], 'cannot be read'),
        (b'no pickle', 'cannot be read'),
        (b'', 'cannot be read'),
        (pickle.dumps([1, 2]), 'no weights in it'),
        (pickle.dumps({'model': {}}), 'no weights in it'),
        (pickle.dumps({'model': {'x': np.array([None])}}), 'cannot be read .*dtype .O8., which is none of numbers'),
        (pickle.dumps({'model': {'x': 'text'}}), 'x is no array of numbers, but str'),
    ],
)
def test_unusable_pickles_end_in_one_line(content, message, tmp_path):
    (tmp_path / 'model.pkl').write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_release(tmp_path / 'model.pkl')
