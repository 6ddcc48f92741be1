"""What a training starts from is there before it begins: pre-trained weights, and the dictionaries of mask codecs.

mmengine imports torchvision to learn the URL behind ``torchvision://resnet50``, and downloads when the model is built
already. Here names are looked up in the table that mmengine ships, which is torchvision's own where it is installed.
"""

import hashlib
import re
import shlex
import sys
from collections.abc import Callable
from difflib import get_close_matches
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlparse

import mmengine
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.runner import CheckpointLoader
from mmengine.runner.checkpoint import (
    _process_mmcls_checkpoint,
    get_deprecated_model_names,
    get_external_models,
    get_mmcls_models,
    get_torchvision_models,
)
from torch import nn
from tqdm import tqdm

from mmagg.apis.launch import is_main
from mmagg.datasets.coco_folder import unwrapped
from mmagg.datasets.config_parts import dicts
from mmagg.io.errors import InputError, building, one_line
from mmagg.io.files import require_file
from mmagg.models.backbones.efficientnet_lite import released_names
from mmagg.models.masks.boxed.mask_codec import MaskCodec
from mmagg.weights.cache import cache_folder
from mmagg.weights.downloads import download
from mmagg.weights.packaged import SCHEME, packaged_file

BACKBONES = ('torchvision://', 'modelzoo://', 'open-mmlab://', 'openmmlab://', 'mmcls://', SCHEME)
SCHEMES = (*BACKBONES, 'http://', 'https://')
HASHED = re.compile(r'-[0-9a-f]{8}\.\w+$')  # a name that no other file has, as MMDetection and torchvision give them


def weights_url(source: str) -> str | None:
    """The URL that a checkpoint's name stands for; None for one that is no name of the web: a file, other storage.

    Raises:
        InputError: the scheme is known, the name is not.
    """
    scheme, _, name = source.partition('://')
    if scheme in ('http', 'https'):
        return source
    if scheme in ('torchvision', 'modelzoo'):
        urls = _torchvision_urls(name)
    elif scheme in ('open-mmlab', 'openmmlab'):
        urls = get_external_models()
        name = get_deprecated_model_names().get(name, name)
    elif scheme == 'mmcls':
        urls = get_mmcls_models()
    else:
        return None
    if name not in urls:
        near = get_close_matches(name, urls)
        raise InputError(f'{source}: no such weights' + (f'; did you mean {" or ".join(near)}?' if near else ''))
    return urls[name] if '://' in urls[name] else None


def fetch(source: str) -> Path:
    """The file of ``source``: local, a package's, or from the web, downloaded unless it is in PyTorch's cache.

    Raises:
        InputError: there is no such file, or it cannot be downloaded.
    """
    if source.startswith(SCHEME):
        return packaged_file(source)
    url = weights_url(source)
    if url is None:
        path = Path(source).expanduser()
        require_file(path, 'checkpoint')
        return path
    try:
        address = urlparse(url)
        name = Path(address.path).name
    except ValueError as error:
        raise InputError(f'{url}: is no address ({error})') from error
    if name in ('', '..'):
        raise InputError(f'{url}: names no file')
    if source == url and not HASHED.search(name):  # two addresses may end alike, as …/best.pth
        told = address._replace(query='') if Path(name).suffix else address  # a query may hold a key that passes
        name = f'{hashlib.sha256(told.geturl().encode()).hexdigest()[:8]}_{name}'
    path = cache_folder() / name
    if path.is_file():
        return path
    tqdm.write(f'{source}: downloading {url} to {path.parent}', file=sys.stderr)
    try:
        download(url, path)  # without a look at the hash in its name: those of torchvision's EfficientNets are wrong
    except InputError as error:
        raise InputError(f'{source}: {error}') from error
    except (OSError, HTTPException, ValueError) as error:
        raise InputError(
            f'{url} cannot be downloaded ({one_line(error)}); if you have the file, put it at {path}'
        ) from error
    return path


def load_from_web(filename: str, map_location: object = None) -> dict:
    """Read a checkpoint of the web as a local one is read (mmengine's loader interface, for `SCHEMES`)."""
    content = CheckpointLoader.load_checkpoint(str(fetch(filename)), map_location, logger='silent')
    if filename.startswith(SCHEME):
        return released_names(content)
    return _process_mmcls_checkpoint(content) if filename.startswith('mmcls://') else content  # the backbone alone


def prepare_model(cfg: Config, launcher: str, *, brought: Callable[[str], bool] = lambda part: False) -> None:
    """Make sure that the model of a training can be built: its codecs have content, its weights are here and whole.

    The main process alone does it, as `mmagg.apis.data.check_data`.

    Args:
        cfg: the whole config.
        launcher: the starter of the processes.
        brought: whether all weights of a part of the model, as `backbone`, come from another checkpoint, so that those
            of the config need not be here; see `leave_out_starts`.

    Raises:
        InputError: names the part of the config, what it lacks and what to do.
    """
    if not is_main(launcher):
        return
    parts = list(dicts(cfg.model, 'model'))
    if not cfg.get('load_from'):  # a checkpoint brings the content of its codecs with it
        dataset = unwrapped((cfg.get('train_dataloader') or {}).get('dataset') or {})
        for place, part in parts:
            _check_codec(place, part, shlex.quote(dataset.get('data_root') or 'DIR'))
    # An initialiser among several is named by all of them: an option replaces a list as a whole.
    sources = {
        re.sub(r'(?<=\.init_cfg)\..*', '', place): part['checkpoint'] for place, part in parts if _is_pretrained(part)
    }
    if '://' in str(cfg.get('load_from')):
        sources['load_from'] = cfg.load_from
    for place, source in sources.items():
        if place.endswith('.init_cfg') and brought(place.removeprefix('model.').removesuffix('.init_cfg')):
            continue
        if '://' in source and not source.startswith(SCHEMES):  # of a storage that mmengine knows
            continue
        try:
            load_from_web(source, 'cpu')
        except InputError as error:
            raise InputError(f'{place}: {error}; to train without it: --cfg-options {place}=None') from error


def leave_out_starts(model: nn.Module, brought: Callable[[str], bool]) -> None:
    """Let parts of a model not read pre-trained weights that another checkpoint replaces; the config still has them.

    Args:
        model: as its config builds it, before `init_weights`.
        brought: as of `prepare_model`.
    """
    for name, part in model.named_modules():
        if any(_is_pretrained(one) for _, one in dicts(getattr(part, 'init_cfg', None))) and brought(name):
            part.init_cfg = None


def starting_weights(cfg: Config) -> list[str]:
    """The checkpoints, files or names, that a training starts from: the whole model's and those of its parts."""
    parts = [part['checkpoint'] for _, part in dicts(cfg.model) if _is_pretrained(part)]
    return [*parts, *([str(cfg.load_from)] if cfg.get('load_from') else [])]


def _torchvision_urls(name: str) -> dict[str, str]:
    """torchvision's URLs by name; those of mmengine's own table suffice for ``resnet50`` and its like, weights V1."""
    urls = mmengine.load(Path(mmengine.__file__).with_name('hub') / 'torchvision_0.12.json')
    if name in urls:
        return urls
    try:
        return get_torchvision_models()  # also `resnet50.imagenet1k_v2`
    except (ImportError, RuntimeError):  # not there, or made for another torch
        return urls


def _is_pretrained(part: dict) -> bool:
    return part.get('type') in ('Pretrained', 'PretrainedInit') and isinstance(part.get('checkpoint'), str)


def _check_codec(place: str, part: dict, folder: str) -> None:
    kind = part.get('type')
    kind = MODELS.get(kind) if isinstance(kind, str) else kind
    if not (isinstance(kind, type) and issubclass(kind, MaskCodec)):
        return
    try:
        with building():
            codec = MODELS.build(part)
    except ValueError as error:
        raise InputError(f'{place}: {error}') from error
    if line := codec.missing_content(folder):
        raise InputError(f'{place}: {line}; one that lies elsewhere: --cfg-options {place}.dictionary=FILE')
