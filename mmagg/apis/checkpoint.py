"""Checkpoints: read without running code, and refused when they do not fit the model.

``torch.load`` without ``weights_only`` runs any code that a file's pickle names. mmengine tries the safe way first, but
falls back to the other one (mmengine#1650, #1655). `secure_loading` rules that out for the whole process.
"""

import io
import logging
import os
import pickle
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import torch
from mmengine.fileio import get_file_backend
from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as mmengine_checkpoint
from torch import nn

from mmagg.apis import torch_files
from mmagg.apis.checkpoint_parts import check_meta, check_state, drop_config_texts
from mmagg.apis.file_handlers import read_data_only
from mmagg.apis.pretrained import SCHEMES, load_from_web
from mmagg.datasets.coco_folder import OTHER_CLASSES
from mmagg.io.errors import TRUST_FLAG, InputError, one_line
from mmagg.io.files import require_file
from mmagg.weights.cache import cache_folder
from mmagg.weights.origins import conversion, converter_hint

FORCE = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'  # read by torch.load
STORAGES = (r'(\S+\:)?s3://', r'(\S+\:)?petrel://')  # as mmengine names them
SHOWN = 3  # keys that a message names

_forced_here = False  # True if `secure_loading` has set `FORCE`, not the user
_trusted = False  # what `secure_loading` was told last


def load_from_local(filename: str, map_location: Any = 'cpu') -> Any:
    """Read a local checkpoint without executing code from it (mmengine's loader interface).

    Raises:
        InputError: no such file, not a checkpoint, or one that holds more than data.
    """
    path = Path(filename).expanduser()
    require_file(path, 'checkpoint')
    with path.open('rb') as file:
        return _read(file, filename, map_location)


def load_trusted(filename: str, map_location: Any = 'cpu') -> Any:
    """Read a local checkpoint and run the code that it holds (mmengine's loader interface).

    mmengine's own loader, up to 0.10.7, leaves it to PyTorch, which refuses code since 2.6.
    """
    path = Path(filename).expanduser()
    require_file(path, 'checkpoint')
    return torch.load(path, map_location=map_location, weights_only=False)


def load_from_storage(filename: str, map_location: Any = 'cpu') -> Any:
    """Read a checkpoint of an object store, which mmengine's loader lets run code, as a local one."""
    try:
        backend = get_file_backend(filename, backend_args={'backend': 'petrel'})
    except ImportError as error:
        raise InputError(f'checkpoint {filename}: {one_line(error)}; or download the file') from error
    return _read(io.BytesIO(backend.get(filename)), filename, map_location)


def load_from_pavi(filename: str, map_location: Any = 'cpu') -> Any:
    """Refuse a checkpoint of SenseTime's model cloud, whose own loader can run code."""
    raise InputError(f'checkpoint {filename}: pavi:// cannot be read as data only; download the file')


def _read(file: BinaryIO, name: str, map_location: Any) -> dict:
    try:
        return torch_files.read(file, map_location)
    except pickle.UnpicklingError as error:
        raise InputError(f'checkpoint {name}: {_why_refused(str(error), name)}') from error
    except Exception as error:  # a damaged file can mean anything
        if str(name).endswith('.pkl'):
            raise InputError(f'checkpoint {name}: {_why_refused("", name)}') from error
        if isinstance(error, InputError):
            raise InputError(f'checkpoint {name}: {error}{_again(name)}') from None
        raise InputError(f'checkpoint {name}: cannot be read ({one_line(error)[:160]}){_again(name)}') from error


def _why_refused(message: str, source: str | Path) -> str:
    if str(source).endswith('.pkl'):  # of NumPy arrays
        command = conversion('convert-adelaidet', source)
        return f"no PyTorch checkpoint; if it is AdelaiDet's, convert it first: {command}"
    foreign = re.search(r'(?:GLOBAL|class|global) [`\']?([\w.]*\w\.\w+)', message)
    if foreign is None:
        return f'not a PyTorch checkpoint, or a damaged one{_again(source)}'
    return (
        f'refused, because it holds more than data ({foreign[1]}) and reading it could run code; '
        f'if you trust its source, pass {TRUST_FLAG}'
    )


def _again(source: str | Path) -> str:
    """What to do with a file of the cache, where it would be taken again."""
    return '; delete it to have it fetched again' if Path(source).parent == cache_folder() else ''


def secure_loading(*, trust: bool = False) -> None:
    """Read checkpoints, pickles and YAML in this process as data only, or trust them, from now on until the next call.

    Args:
        trust: load with the code that a file holds.

    Raises:
        InputError: the environment forbids to trust.
    """
    global _forced_here, _trusted
    forced = bool(os.environ.get(FORCE))
    if trust and forced and not _forced_here:
        raise InputError(f'{TRUST_FLAG}: the environment forbids it with {FORCE}; unset that first')
    if trust:
        os.environ.pop(FORCE, None)
    else:
        os.environ[FORCE] = '1'  # overrides weights_only=False anywhere, also for files that come over HTTP
    _forced_here = not trust and (_forced_here or not forced)
    mmengine = mmengine_checkpoint
    for schemes, ours, theirs in (
        ('', load_from_local, load_trusted),
        (SCHEMES, load_from_web, load_from_web),  # reads by the one above
        (STORAGES, load_from_storage, mmengine.load_from_ceph),
        ('pavi://', load_from_pavi, mmengine.load_from_pavi),
    ):
        CheckpointLoader.register_scheme(schemes, loader=theirs if trust else ours, force=True)
    read_data_only(trust=trust)
    _trusted = trust


def stay_secure() -> None:
    """Read as `secure_loading` was told last; as data only if it was not called yet."""
    secure_loading(trust=_trusted)


def load_checkpoint(source: str | Path) -> dict:
    """Read a checkpoint (a path or a URL) on the CPU, as `secure_loading` decided; say if weights are not finite.

    Returns:
        A dict with at least ``state_dict`` and ``meta``.

    Raises:
        InputError: the file is missing, damaged, unsafe or no checkpoint.
    """
    stay_secure()
    if '://' not in str(source):
        require_file(Path(source).expanduser(), 'checkpoint')
    try:
        content = CheckpointLoader.load_checkpoint(str(source), map_location='cpu', logger='silent')
    except (pickle.UnpicklingError, EOFError, LookupError) as error:  # from loaders other than ours
        raise InputError(f'checkpoint {source}: {_why_refused(str(error), source)}') from error
    state, meta = _weights(content), content.get('meta') if isinstance(content, dict) else None
    meta = {} if meta is None else meta  # a tensor is neither true nor false
    with named(source):
        check_state(state)
        check_meta(meta)
    drop_config_texts(content)  # also where another loader read it
    state = {re.sub(r'^module\.', '', key): value for key, value in state.items()}
    _warn_of_non_finite(state, source)
    return {**(content if 'state_dict' in content else {}), 'state_dict': state, 'meta': meta}


@contextmanager
def named(source: str | Path) -> Iterator[None]:
    """Put a checkpoint's name before what is said of its parts."""
    try:
        yield
    except InputError as error:
        raise InputError(f'checkpoint {source}: {error}') from None


def _warn_of_non_finite(state: Mapping[str, torch.Tensor], source: str | Path) -> None:
    found = [key for key, value in state.items() if value.is_floating_point() and not value.float().isfinite().all()]
    if found:
        number = f'{len(found)} of {len(state)} tensors'
        line = f'checkpoint {source}: {number} hold NaN or infinite numbers, the first is {found[0]}'
        print_log(line, logger='current', level=logging.WARNING)


def _weights(content: Any) -> Any:
    """What should be a dict of tensors: in mmengine's form, in Detectron2's, or bare."""
    if not isinstance(content, dict):
        return None
    return next((content[key] for key in ('state_dict', 'model') if isinstance(content.get(key), dict)), content)


def misfits(model: nn.Module, state: Mapping[str, torch.Tensor]) -> dict[str, dict[str, str]]:
    """The weights that do not fit a model: by kind of misfit their keys, each with how a message names it.

    A weight may be of another precision, but not an integer where a fraction is wanted. A BatchNorm's count of batches
    may be missing: frozen ones have none.
    """
    own = model.state_dict()
    return {
        'of another shape': {
            key: f'{key} is {tuple(state[key].shape)} there and {tuple(value.shape)} here'
            for key, value in own.items()
            if key in state and state[key].shape != value.shape
        },
        'of another type': {
            key: f'{key} is {_kind(state[key])} there and {_kind(value)} here'
            for key, value in own.items()
            if key in state and not same_kind(state[key], value)
        },
        'missing': {key: key for key in own if key not in state and not key.endswith('num_batches_tracked')},
        'unknown to the model': {key: key for key in state if key not in own},
    }


def same_kind(given: torch.Tensor, wanted: torch.Tensor) -> bool:
    """False if floating-point numbers are wanted and others given, or complex ones that are not wanted."""
    return given.is_floating_point() or not (wanted.is_floating_point() or given.is_complex())


def _kind(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix('torch.')


def listed(names: Mapping[str, Collection[str]]) -> str:
    """The number of each kind, and the names of the first."""
    return '; '.join(
        f'{len(found)} {kind} ({", ".join(islice(found, SHOWN))}{", …" if len(found) > SHOWN else ""})'
        for kind, found in names.items()
        if found
    )


def load_weights(model: nn.Module, checkpoint: dict, source: str | Path) -> None:
    """Load all of a checkpoint's weights into ``model``, or nothing.

    Raises:
        InputError: as of `require_fit`.
    """
    require_fit(model, checkpoint, source)
    model.load_state_dict(checkpoint['state_dict'], strict=False)


def require_fit(model: nn.Module, checkpoint: dict, source: str | Path) -> None:
    """Refuse a checkpoint that is not all of a model's weights and no others.

    Raises:
        InputError: names the first keys that are missing, unknown or of another shape, and the command that converts
            another project's checkpoint.
    """
    state = checkpoint['state_dict']
    problems = listed({kind: found.values() for kind, found in misfits(model, state).items()})
    if problems:
        foreign = converter_hint(state, source, ours=model.state_dict())
        hint = f' ({foreign})' if foreign else _class_hint(model, checkpoint)
        raise InputError(f'checkpoint {source} does not fit the model{hint}: {problems}')


def checkpoint_classes(checkpoint: dict) -> tuple[str, ...] | None:
    """The class names a checkpoint was trained with, or None if it does not say."""
    meta = checkpoint['meta']
    data = {key.lower(): value for key, value in (meta.get('dataset_meta') or {}).items()}
    names = data.get('classes', meta.get('CLASSES'))
    return tuple(names) if names is not None else None


def number_of_classes(model: nn.Module) -> int | None:
    """The number of classes of the model's head, or None if no module says."""
    return next(
        (
            module.num_classes
            for name, module in model.named_modules()
            if isinstance(getattr(module, 'num_classes', None), int) and not set(name.split('.')) & set(OTHER_CLASSES)
        ),
        None,
    )


def _class_hint(model: nn.Module, checkpoint: dict) -> str:
    names, here = checkpoint_classes(checkpoint), number_of_classes(model)
    if names is None or here is None or len(names) == here:
        return ''
    return (
        f' (it was trained with {len(names)} classes, the model has {here}: '
        'use the config that training left in the work dir, or set num_classes)'
    )
