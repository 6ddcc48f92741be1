"""PyTorch's files, looked at before and after PyTorch reads them.

``torch.load(weights_only=True)`` runs no code. But it lets NumPy unpickle what a file forges, which can crash; it makes
tensors that crash later or claim more memory than there is; and a few bytes can keep it busy for ever. `read` goes
through a file's pickles before, without making anything, and afterwards through what was made.
"""

import io
import math
import os
import pickle
import re
import sys
import zipfile
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

import torch
from mmengine.logging import HistoryBuffer
from torch import Tensor

from mmagg.apis.checkpoint_parts import check_names, drop_config_texts
from mmagg.io.errors import InputError
from mmagg.io.images import image_header
from mmagg.io.numpy_pickles import NAMES, Array, StandIn, rebuilt
from mmagg.io.safe_pickle import CONTAINERS, SIMPLE, DataUnpickler
from mmagg.io.terminal import single_line

PACKED = 10  # how many times its own size a file may unpack to; torch.save does not compress
PICKLES = 5  # of a file in the format before PyTorch 1.6
START = 60  # bytes of a file by which it is told what else it is
OF_TEXT = re.compile(rb'[\t\n\r -~\x80-\xff]+')
# PyTorch's reader says how large a part is as of 2.13; before that, it can only unpack it.
TELLS_SIZES = hasattr(torch._C.PyTorchFileReader, 'get_record_size')
HISTORY = 'mmengine.logging.history_buffer.HistoryBuffer'


class History(StandIn):
    """Stands for mmengine's HistoryBuffer, the log of one value."""

    state: dict | None = None

    def __setstate__(self, state: dict) -> None:
        self.state = state

    def made(self) -> HistoryBuffer:
        if self.state is None:
            raise ValueError('a log without content')
        values, counts = (self.state[key] for key in ('_log_history', '_count_history'))
        longest = self.state['max_length']
        if not isinstance(values, Array) or not isinstance(counts, Array) or type(longest) is not int:
            raise ValueError('a log that is not of numbers')
        values, counts = values.made(), counts.made()
        if values.ndim != 1 or values.shape != counts.shape:
            raise ValueError('a log that is not of numbers')
        made = HistoryBuffer(max_length=longest)
        made._log_history, made._count_history = values, counts
        return made


def _statistic(owner: Any, name: str) -> str:
    """A `getattr` for HistoryBuffer's methods alone, which mmengine pickles with it; `History` needs none of them."""
    if owner is not History or name.startswith('_') or not hasattr(HistoryBuffer, name):
        raise InputError(
            f'refused, because it holds more than data (getattr(…, {name!r})) and reading it could run code'
        )
    return name


# The functions and classes that `torch.load` is allowed beside its own.
ALLOWED: dict[str, Callable] = {
    **NAMES,
    HISTORY: History,
    'builtins.getattr': _statistic,
    'builtins.bytes': CONTAINERS['builtins.bytes'],
}


class _Anything:
    """What stands for tensors and the like while a file is looked through."""

    def __init__(self, *_: Any) -> None:
        pass


def _set(members: list) -> _Anything:
    if not all(isinstance(member, SIMPLE) for member in members):
        raise ValueError('a set of other things than text and numbers')
    return _Anything()


class _Look(DataUnpickler):
    """Goes through a pickle of PyTorch and makes nothing of it.

    Raises:
        InputError: it names what no checkpoint needs.
    """

    def __init__(self, file: BinaryIO) -> None:
        names = ALLOWED | CONTAINERS | {'builtins.set': _set, 'builtins.complex': _Anything}
        super().__init__(file, names, what='data')

    def find_class(self, module: str, name: str) -> Any:
        of_torch = {
            'torch': name.endswith('Storage')
            or isinstance(getattr(torch, name, None), torch.dtype | torch.qscheme)
            or name in ('Size', 'device'),
            'torch._utils': name in REBUILD,
            'torch.storage': name.endswith('Storage'),
            'torch.nn.parameter': name == 'Parameter',
            'torch.serialization': name == '_get_layout',
        }
        return _Anything if of_torch.get(module) else super().find_class(module, name)

    def persistent_load(self, _: Any) -> _Anything:
        return _Anything()

    def load_build(self) -> None:
        if isinstance(self.stack[-2], _Anything):
            self.stack.pop()
        else:
            super().load_build()

    dispatch = DataUnpickler.dispatch | {pickle.BUILD[0]: load_build}


# Functions of torch._utils that make tensors of numbers, and of a kind that `completed` names with its place.
REBUILD = {
    f'_rebuild_{kind}'
    for kind in (
        'tensor', 'tensor_v2', 'tensor_v3', 'parameter', 'parameter_with_state',
        'sparse_tensor', 'qtensor', 'meta_tensor_no_storage',
    )
}  # fmt: skip


def read(file: BinaryIO, map_location: Any) -> dict:
    """What a file of PyTorch holds, as data.

    Args:
        file: at its start.
        map_location: of `torch.load`.

    Raises:
        InputError: it holds more than data, or none that a checkpoint needs; or a tensor that cannot be used, with its
            place.
        Exception: whatever a damaged file means.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if not TELLS_SIZES:
        file = as_zipfile_sees(file, size)
    look_through(file, size)
    file.seek(0)
    with torch.serialization.safe_globals([(stand_in, name) for name, stand_in in ALLOWED.items()]):
        content = torch.load(file, map_location=map_location, weights_only=True)
    return completed(content, size)


def as_zipfile_sees(file: BinaryIO, size: int) -> BinaryIO:
    """A copy of a zip in which PyTorch's reader can see no other parts than Python's; any other file as it is.

    Args:
        file: at its start.
        size: of the file, in bytes.

    Raises:
        InputError: its parts are larger than the file, or compressed, which `torch.save` does not do, or it is of a
            machine with another byte order.
        Exception: whatever a damaged file means.
    """
    zipped = file.read(4) == b'PK\3\4'
    file.seek(0)
    if not zipped:
        return file
    copy = io.BytesIO()
    with zipfile.ZipFile(file) as archive, zipfile.ZipFile(copy, 'w') as seen:
        _check_unpacked((entry.file_size for entry in archive.infolist()), size)
        for entry in archive.infolist():
            if entry.compress_type != zipfile.ZIP_STORED:
                raise InputError('its parts are compressed, which can be read with PyTorch 2.13 or newer alone')
            data = archive.read(entry)
            # Before 2.13, PyTorch turns bytes that are not there.
            if entry.filename.lower().endswith('byteorder') and data.decode() != sys.byteorder:
                raise InputError(
                    'its numbers are in another byte order, which can be read with PyTorch 2.13 or newer alone'
                )
            seen.writestr(entry.filename, data)
    copy.seek(0)
    return copy


def look_through(file: BinaryIO, size: int) -> None:
    """Refuse a file that `torch.load` should not see.

    Args:
        file: at its start.
        size: of the file, in bytes.

    Raises:
        InputError: it holds more than data.
        Exception: whatever a damaged file means.
    """
    zipped = file.read(4) == b'PK\3\4'
    file.seek(0)
    if not zipped:
        try:
            for _ in range(PICKLES):
                _Look(file).load()
        except Exception as error:
            if not isinstance(error, InputError) and (kind := _other_kind(file)) is not None:
                raise InputError(f'is no checkpoint{kind}') from error
            raise
        return
    with zipfile.ZipFile(file) as archive:  # PyTorch's reader unpacks some parts when it is made
        if not any(name.endswith('data.pkl') for name in archive.namelist()):
            raise InputError('is no checkpoint, but another zip file')
        _check_unpacked((entry.file_size for entry in archive.infolist()), size)
    file.seek(0)
    reader = torch._C.PyTorchFileReader(file)  # what `torch.load` reads: in one file, two readers can see other parts
    names = reader.get_all_records()
    if TELLS_SIZES:
        _check_unpacked(map(reader.get_record_size, names), size)
    if len({name.lower() for name in names}) != len(names):
        raise InputError('it has two parts of the same name')
    _Look(io.BytesIO(reader.get_record('data.pkl'))).load()


def _other_kind(file: BinaryIO) -> str | None:
    """What a file is, after a comma, that is no pickle as `torch.save` begins it; None for one that is."""
    file.seek(0)
    start = file.read(START)
    file.seek(0)
    if start.startswith(pickle.PROTO):
        return None
    if not start:
        return ', it is empty'
    if image := image_header(file):
        return f', but an image ({image[0]})'
    return f', but text: {single_line(start.decode("utf-8", "replace"))}' if OF_TEXT.fullmatch(start) else ''


def _check_unpacked(sizes: Iterable[int], size: int) -> None:
    if sum(sizes) > PACKED * size:
        raise InputError('its parts are far larger than the file')


def completed(content: Any, size: int) -> Any:
    """What `torch.load` has read, without stand-ins, and without text that mmengine would execute.

    Args:
        content: it is changed.
        size: bytes of the file.

    Raises:
        InputError: it is no dict, or a tensor in it is not as checkpoints need them; names the tensor.
        Exception: whatever a damaged file means.
    """

    def check(value: Any, place: str) -> None:
        if isinstance(value, Tensor) and (fault := _fault(value, size)):
            raise InputError(f'{place[-200:]} {fault}')

    content = rebuilt(content, check)
    if not isinstance(content, dict):
        raise InputError(f'holds a {type(content).__name__}, where a dict of weights is wanted')
    state = content.get('state_dict', {})
    if not isinstance(state, dict):
        raise InputError(f'no state_dict of tensors in it, but a {type(state).__name__}')
    check_names(state)
    drop_config_texts(content)
    return content


def _fault(tensor: Tensor, size: int) -> str | None:
    """Why a tensor is of no use in a checkpoint; None for one of numbers that are all there."""
    if tensor.is_quantized:
        return 'is quantised; weights must be floating-point numbers'
    if tensor.layout != torch.strided or tensor.is_nested:
        return f'is of layout {str(tensor.layout).removeprefix("torch.")}; only dense tensors can be used'
    if tensor.is_meta:
        return 'has a shape and no numbers (it is on the meta device)'
    if math.prod(tensor.shape) * tensor.element_size() > size:
        return f'is of shape {tuple(tensor.shape)}, of which there are no numbers in the file'
    return None
