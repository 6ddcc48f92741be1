"""Weights that a user names: a listed name, a file or a URL. Others' are converted once, and kept beside the download.

What comes of it is a file, so that a training's config names weights that mmdet alone can start from; rows of classes
that are taken by name are put together in memory (`mmagg.apis.load_from`).
"""

import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.datasets import CocoDataset
from mmengine.config import Config
from torch import Tensor
from tqdm import tqdm

from mmagg.apis.checkpoint import checkpoint_classes, load_checkpoint
from mmagg.apis.config import load_config, name_of
from mmagg.apis.plain_model import model_without_numbers
from mmagg.apis.pretrained import BACKBONES, fetch
from mmagg.apis.release_files import read_release
from mmagg.io.errors import InputError
from mmagg.io.files import require_file, written_whole
from mmagg.io.option_values import read_value
from mmagg.weights.cache import cache_folder, fetch_named
from mmagg.weights.catalogue import Weights, fitting, named
from mmagg.weights.downloads import check_hash
from mmagg.weights.origins import Origin, origin_of

CONVERSION = 1  # counted up where `Origin.to_mmagg` gives other names, so that older conversions are not taken
KEPT_META = ('dataset_meta', 'CLASSES', 'epoch', 'iter')
Named = str | Path


def weights_file(weights: Named, cfg: Config, *, trust: bool = False, main: bool = True) -> Path:
    """The file of a checkpoint for the model of ``cfg``: fetched, and converted, where that is wanted.

    Args:
        weights: a name of `mmagg.weights.catalogue`, a file or a URL.
        cfg: the whole config.
        trust: run the code that a .pkl asks for; for a .pth, `secure_loading` decides.
        main: say on stderr by whom the weights are, and under what terms.

    Raises:
        InputError: there is no such file or name, it cannot be fetched, or it is not read as data; or it wants images
            that are normalised otherwise than the config does it.
    """
    path, one = _located(str(weights))
    content = _read(path, trust)
    state = content['state_dict']
    origin = origin_of(state)
    if main and (one or (origin and origin.terms)):
        tqdm.write(f'note: {_whose(str(weights), one, origin)}', file=sys.stderr)
    _check_normalisation(weights, state, cfg)
    foreign = origin is not None and origin_of(model_without_numbers(cfg).state_dict()) is None
    nameless = one is not None and checkpoint_classes(content) is None
    if not foreign and not nameless:
        return path
    form = f'mmagg{CONVERSION}' if foreign else 'named'
    target = cache_folder() / 'mmagg' / f'{path.stem}-{check_hash(path, "")[:16]}-{form}.pth'
    if not target.is_file():
        meta = {key: content['meta'][key] for key in KEPT_META if key in content['meta']}
        if nameless:  # all that have names are trained on COCO
            meta['dataset_meta'] = {'classes': CocoDataset.METAINFO['classes']}
        made = BytesIO()
        torch.save({'state_dict': origin.to_mmagg(state) if origin and foreign else state, 'meta': meta}, made)
        with written_whole(target) as temporary:
            temporary.write_bytes(made.getbuffer())
    return target


def chosen(
    config: Named | Config | None,
    checkpoint: Named | None,
    weights: Named | None,
    cfg_options: dict | None,
    *,
    trust: bool = False,
    main: bool = True,
) -> tuple[Named | Config, Named, dict | None]:
    """The config, the checkpoint and the options to use a model with, where a user names a checkpoint or weights.

    Args:
        config: None: the one that the weights' entry names.
        checkpoint: a .pth file or a URL, in the format of mmagg or mmdet.
        weights: as of `weights_file`.
        cfg_options: changes to the config; those that the weights need come before them.
        trust: as of `weights_file`.
        main: as of `weights_file`.

    Raises:
        InputError: both or none are named, or as of `weights_file`.
    """
    if checkpoint is not None and weights is not None:
        raise InputError(f'--weights {weights}: the checkpoint {checkpoint} is named as well; leave out one')
    if weights is None:
        if config is None or checkpoint is None:
            found = fitting(Path(name_of(config)).stem) if config is not None else []
            name = found[0] if found else 'NAME'
            raise InputError(f'no checkpoint is named: put it after the config, or take public ones: --weights {name}')
        return config, checkpoint, cfg_options
    one = entry(weights)
    if config is None:
        if one is None:
            raise InputError(f'--weights {weights}: a file does not name its config; put one before it')
        config = one.config
    cfg_options = with_options(weights, config, cfg_options)
    return config, weights_file(weights, load_config(config, cfg_options), trust=trust, main=main), cfg_options


def with_options(weights: Named, config: Named | Config, cfg_options: dict | None) -> dict | None:
    """The options for a config, with those before them that weights which have a name need of the config they fit."""
    one = entry(weights)
    if one is None or not one.options or Path(one.config).stem != Path(name_of(config)).stem:
        return cfg_options
    return {
        **{key: read_value(value) for key, _, value in (option.partition('=') for option in one.options)},
        **(cfg_options or {}),
    }


def start_from(cfg: Config, weights: Named, cfg_options: dict | None) -> None:
    """Let a training start from weights, in place: the whole model, or the backbone where they are a backbone's.

    Raises:
        InputError: an option names another start, or the model has no backbone.
    """
    place = 'model.backbone.init_cfg' if is_backbone(weights) else 'load_from'
    if cfg_options and place in cfg_options:
        raise InputError(f'--weights {weights}: --cfg-options {place} names another start; leave out one')
    if not is_backbone(weights):
        cfg.load_from, cfg.resume = str(weights), False
    elif not isinstance(cfg.model.get('backbone'), dict):
        raise InputError(f"--weights {weights}: they are a backbone's, and the model has no `backbone`")
    else:
        cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint=str(weights))


def is_backbone(weights: Named) -> bool:
    """True for a name of a backbone's weights, as configs name them."""
    return str(weights).startswith(BACKBONES)


def file_of(weights: Named | None) -> Path | None:
    """The local file that weights are read from; None for a name or a URL."""
    path = None if weights is None else Path(weights).expanduser()
    return path if path is not None and path.is_file() else None


def entry(weights: Named) -> Weights | None:
    """What the catalogue says of a name; None for a file or a URL.

    Raises:
        InputError: there is neither such a file nor such a name.
    """
    text = str(weights)
    if '://' in text or Path(text).expanduser().is_file():
        return None
    if Path(text).suffix in ('.pth', '.pkl'):
        require_file(Path(text).expanduser(), 'checkpoint')
    return named(text)


def _located(weights: str) -> tuple[Path, Weights | None]:
    if is_backbone(weights):
        raise InputError(f"--weights {weights}: they are a backbone's alone, from which a training can start")
    one = entry(weights)
    return (fetch(weights) if one is None else fetch_named(one)), one


def _read(path: Path, trust: bool) -> dict[str, Any]:
    """A checkpoint of PyTorch, or a pickle of Detectron2."""
    return (
        {'state_dict': read_release(path, trust=trust), 'meta': {}} if path.suffix == '.pkl' else load_checkpoint(path)
    )


def _whose(weights: str, one: Weights | None, origin: Origin | None) -> str:
    terms = one.terms if one else origin.terms if origin else ''
    whose = f'of {one.code}, licence: {one.licence}' if one else f'{origin.name}' if origin else ''
    return f'weights {weights} are {whose}' + (f'; {terms}' if terms else '') + ' (docs/licences.md)'


def _check_normalisation(weights: Named, state: dict[str, Tensor], cfg: Config) -> None:
    """Refuse weights of Detectron2, which say how images are normalised, where the config does it otherwise."""
    preprocessor = cfg.model.get('data_preprocessor') or {}
    for key, option in (('pixel_mean', 'mean'), ('pixel_std', 'std')):
        if key in state:
            wanted = [round(x, 3) for x in state[key].flatten().tolist()]
            here = preprocessor.get(option) or []
            if len(here) != len(wanted) or not np.allclose(here, wanted, atol=1e-3):
                value = str(wanted).replace(' ', '')
                raise InputError(
                    f"--weights {weights}: their {key} is {wanted}, the config's is not: add --cfg-options "
                    f'model.data_preprocessor.{option}={value}'
                )
