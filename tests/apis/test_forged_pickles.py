"""Thousands of crafted pickles: each is read as data or refused in a line, without a crash, a hang or much memory."""

import io
import os
import pickle
import re
import resource
import signal
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from forged_pickles import Forger

from mmagg.apis import torch_files
from mmagg.apis.checkpoint import load_from_local
from mmagg.convert.adelaidet import read_release
from mmagg.io.errors import InputError
from mmagg.io.numpy_pickles import NUMBERS

MEMORY = 2 << 30  # bytes beyond those that this process has


def in_a_child(work: Callable[[Callable[[str], None]], None], *, seconds: int) -> str:
    """What a forked process says about its work last; and how it ended, if not in peace."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        signal.alarm(seconds)
        used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            work(lambda line: os.write(writer, f'{line}\n'.encode()))
        except BaseException as error:
            os.write(writer, f'{type(error).__name__}: {" ".join(str(error).split())[:300]}\n'.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, 'rb') as pipe:
        said = pipe.read().decode().splitlines()
    status = os.waitpid(pid, 0)[1]
    ended = f' ended by signal {os.WTERMSIG(status)}' if os.WIFSIGNALED(status) else ''
    return ' | '.join(said[-2:]) + ended


def used(value: object) -> None:
    """Look at every number."""
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
        used(part)
    if isinstance(value, np.ndarray | torch.Tensor):
        value.sum()


def reading(kind: str, seeds: range, folder: Path) -> Callable[[Callable[[str], None]], None]:
    path = folder / f'forged.{kind}'
    read = load_from_local if kind == 'pth' else read_release

    def work(say: Callable[[str], None]) -> None:
        good = 0
        for seed in seeds:
            say(f'seed {seed}')
            forger = Forger(seed, torch=kind == 'pth')
            path.write_bytes(forger.file() if kind == 'pth' else forger())
            start = time.perf_counter()
            message = ''
            try:
                used(read(path))
                good += 1
            except InputError as error:
                message = str(error)
            assert '\n' not in message, message
            assert len(message) < 500, message
            assert time.perf_counter() - start < 5, 'slow'
        say(f'{good} of {len(seeds)} read')

    return work


@pytest.mark.parametrize('kind', ['pkl', 'pth'])
@pytest.mark.parametrize('number', [200, pytest.param(10_000, marks=pytest.mark.slow)])
def test_crafted_pickles_are_read_or_refused(kind: str, number: int, tmp_path: Path) -> None:
    said = in_a_child(reading(kind, range(number), tmp_path), seconds=20 + number // 20)
    assert said.endswith('read'), said
    assert int(said.split(' | ')[-1].split()[0]) > number // 100, (
        said
    )  # or the forger makes nothing that is almost right


def call(function: Callable, *arguments: object, state: object = None) -> object:
    """Pickles as a call of a function, and a state of what it gives."""

    class Call:
        def __reduce__(self):
            return (function, arguments) if state is None else (function, arguments, state)

    return Call()


def forged_numbers() -> dict[str, object]:
    """Arrays and numbers with which NumPy's own unpickling reads where nothing is, or claims memory."""
    array, scalar = np.empty(0).__reduce__()[0], np.float64(0).__reduce__()[0]

    def dtype(code: str, *state: object) -> object:
        return call(np.dtype, code, False, True, state=state)

    def filled(*state: object) -> object:
        return call(array, np.ndarray, (0,), b'b', state=state)

    f4 = np.dtype('f4')
    dtypes = {
        'objects': dtype('O8', 3, '|', None, None, None, -1, -1, 63),
        'objects without flags': dtype('O8', 3, '|', None, None, None, -1, -1, 0),
        'a size': dtype('f4', 3, '<', None, None, None, 10**6, 1, 0),
        'fields': dtype('V8', 3, '|', None, ('a', 'b'), {'a': (f4, 0), 'b': (f4, 10**9)}, 8, 1, 0),
        'a part': dtype('V8', 3, '|', (f4, (10**6,)), None, None, 8, 1, 0),
        'dates': dtype('M8', 4, '<', None, None, None, -1, -1, 0, {}),
        'text': dtype('U4', 3, '<', None, None, None, 16, 4, 0),
    }
    return {
        **{f'a number of {name}': call(scalar, one, b'A' * 8) for name, one in dtypes.items()},
        **{f'an array of {name}': filled(1, (1,), one, False, b'A' * 8) for name, one in dtypes.items()},
        'a short number': call(scalar, f4, b'A'),
        'a long shape': filled(1, (10**12,), f4, False, b'A' * 8),
        'a negative shape': filled(1, (-2,), f4, False, b'A' * 8),
        'two negative lengths': filled(1, (-1, -2), f4, False, b'A' * 8),
        'an empty array': call(np.ndarray, (10**12,)),
        'bytes': call(bytearray, 10**12),
        'a tensor': call(torch.FloatTensor, 10**12),
    }


@pytest.mark.parametrize('name', forged_numbers())
def test_forged_numbers_are_refused(name: str, tmp_path: Path) -> None:
    content = {'model': {'x': forged_numbers()[name]}}
    (tmp_path / 'a.pkl').write_bytes(pickle.dumps(content, 2))
    torch.save(content, tmp_path / 'a.pth')

    def work(say: Callable[[str], None]) -> None:
        for read, file in ((read_release, 'a.pkl'), (load_from_local, 'a.pth')):
            with pytest.raises(InputError, match=re.escape(file)):
                read(tmp_path / file)
        say('refused')

    assert in_a_child(work, seconds=20) == 'refused'


@pytest.mark.parametrize('order', '<>')
def test_numbers_of_all_kinds_are_read(order: str, tmp_path: Path) -> None:
    arrays = {
        f'{kind}{fortran}': np.asarray(np.arange(6).reshape(2, 3), f'{order}{kind}', order='CF'[fortran])
        for kind in NUMBERS
        for fortran in (0, 1)
    }
    numbers = {kind: np.dtype(f'{order}{kind}').type(1) for kind in NUMBERS}
    torch.save({'arrays': arrays, 'none': np.zeros((0, 3)), 'numbers': (numbers, [numbers])}, tmp_path / 'a.pth')
    found = load_from_local(tmp_path / 'a.pth')
    assert all(np.array_equal(found['arrays'][key], array) for key, array in arrays.items())
    assert all(found['arrays'][key].dtype.isnative for key in arrays)
    assert found['none'].shape == (0, 3)
    assert found['numbers'] == (numbers, [numbers])
    found['arrays']['f40'] += 1  # as those of NumPy's own


def test_what_unpacks_to_far_more_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / 'a.pth', 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('a/data.pkl', bytes(10**7))
    with pytest.raises(InputError, match=r'a\.pth: its parts are far larger than the file'):
        load_from_local(tmp_path / 'a.pth')


def stored(parts: dict[str, bytes], *, start: int = 0) -> tuple[bytes, bytes, bytes]:
    """A zip's parts, its directory and its last record, for a place in a file."""
    file = io.BytesIO()
    file.seek(start)
    with zipfile.ZipFile(file, 'w') as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    data, directory = file.getvalue(), archive.start_dir
    return data[start:directory], data[directory:-22], data[-22:]


@pytest.fixture
def of_two_directories(tmp_path: Path) -> Path:
    """A checkpoint whose last record leads PyTorch to one directory and Python's zipfile to another."""
    read, shown = pickle.dumps({((),): 1}, 2), pickle.dumps({'a': 1}, 2)
    parts, directory, last = stored({'a/data.pkl': read, 'a/version': b'3', 'a/more': bytes(1000)})
    others = {'a/data.pkl': shown, 'a/version': b'3', 'a/more': b''}
    size = len(stored(others)[0])
    other_parts, other_directory, _ = stored(others, start=len(parts) - size)
    path = tmp_path / 'a.pth'
    path.write_bytes(parts + directory + other_parts + other_directory + last)
    with zipfile.ZipFile(path) as archive:
        assert archive.read('a/data.pkl') == shown
    assert torch._C.PyTorchFileReader(str(path)).get_record('data.pkl') == read
    return path


@pytest.mark.skipif(not torch_files.TELLS_SIZES, reason='PyTorch before 2.13 gets a copy')
def test_a_zip_is_looked_at_as_pytorch_reads_it(of_two_directories: Path) -> None:
    with pytest.raises(InputError, match='a key that is neither text nor a number'):
        load_from_local(of_two_directories)


class TestBeforePyTorch213:
    """Its reader does not tell how large a part is."""

    @pytest.fixture(autouse=True)
    def _old(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch_files, 'TELLS_SIZES', False)

    def test_pytorch_reads_the_zip_that_was_looked_at(self, of_two_directories: Path) -> None:
        assert load_from_local(of_two_directories) == {'a': 1}

    @pytest.mark.parametrize('zipped', [True, False])
    def test_what_was_saved_is_read(self, tmp_path: Path, zipped: bool) -> None:
        path = tmp_path / 'a.pth'
        torch.save({'w': torch.arange(6.0).view(2, 3)}, path, _use_new_zipfile_serialization=zipped)
        assert load_from_local(path)['w'].tolist() == [[0, 1, 2], [3, 4, 5]]

    def test_another_byte_order_is_refused(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / 'a.pth', 'w') as archive:
            archive.writestr('a/data.pkl', pickle.dumps({'a': 1}, 2))
            archive.writestr('a/byteorder', 'big' if sys.byteorder == 'little' else 'little')
        with pytest.raises(InputError, match=r'a\.pth: its numbers are in another byte order, which can be read with'):
            load_from_local(tmp_path / 'a.pth')

    def test_what_is_packed_is_refused(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / 'a.pth', 'w', zipfile.ZIP_DEFLATED) as archive:
            archive.writestr('a/data.pkl', pickle.dumps({'a': 1}, 2))
        with pytest.raises(InputError, match=r'a\.pth: its parts are compressed, which can be read with PyTorch'):
            load_from_local(tmp_path / 'a.pth')


def test_files_before_pytorch_1_6_are_read(tmp_path: Path) -> None:
    torch.save({'w': torch.ones(3), 'n': np.ones(2)}, tmp_path / 'a.pth', _use_new_zipfile_serialization=False)
    assert load_from_local(tmp_path / 'a.pth')['w'].tolist() == [1, 1, 1]
