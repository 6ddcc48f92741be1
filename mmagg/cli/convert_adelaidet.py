"""Converting checkpoints of AdelaiDet's BlendMask and MEInst, as ``adelaidet_to_mmagg.py`` offers it."""

import argparse
from collections.abc import Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.registry import MODELS
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from mmagg.apis.checkpoint import SHOWN
from mmagg.cli.convert_mmdet import converter_parser, finish, note_unseen, prepare, require_head
from mmagg.convert.adelaidet_keys import adelaidet_to_mmagg
from mmagg.convert.disagreements import as_arguments
from mmagg.convert.safe_pickle import load_pickle
from mmagg.io.errors import InputError
from mmagg.models.heads import BoxedMaskHead
from mmagg.models.masks.boxed.pca_codec import Dictionary

# Parts of the model by the start of their keys, and the options below `model` that shape their weights. The first
# that fits a key counts.
PARTS = {
    'backbone.': 'backbone.{type,depth,dcn,stage_with_dcn,dcn_interval}',
    'neck.': 'neck.{start_level,num_outs,add_extra_convs}',
    **{
        f'mask_head.boxes.{kind}_tower.': f'mask_head.boxes.{kind}_tower.{{num_convs,num_levels,dcn_cfg}}'
        for kind in ('shared', 'class', 'box')
    },
    'mask_head.boxes.conv_cls.': 'mask_head.boxes.num_classes',
    'mask_head.boxes.scales.': 'mask_head.boxes.{use_scale,strides}',
    'mask_head.boxes.': 'mask_head.boxes.channels',
    'mask_head.coefficients.tower.': 'mask_head.coefficients.tower.{num_convs,dcn_cfg}',
    'mask_head.coefficients.': 'mask_head.masks.{basis.num_bases,attention_size,codec}',
    'mask_head.masks.basis.': 'mask_head.masks.basis.{type,levels,num_convs,channels,num_bases}',
    'mask_head.masks.': 'mask_head.masks.{type,codec}',
    'mask_head.semantic.': 'mask_head.semantic.{num_classes,channels}',
    '': '',
}
CODEC = 'mask_head.masks.codec.'
# Settings of the model that change its results, but no weight.
UNSEEN = ('backbone.style', 'neck.relu_before_extra_convs', 'mask_head.masks.mask_size')


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/model_converters/adelaidet_to_mmagg.py``."""
    parser = converter_parser(
        "a checkpoint of AdelaiDet's BlendMask or MEInst, .pth or .pkl",
        example='python tools/model_converters/adelaidet_to_mmagg.py R_50_1x.pth blendmask.pth '
        '--config configs/blendmask/blendmask_r50_fpn_1x_coco.py',
        option='model.mask_head.masks.attention_size=7',
    )
    parser.add_argument(
        '--dictionary', type=Path, metavar='FILE.npz', help="MEInst's dictionary of masks, where SRC is without it"
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Convert AdelaiDet's checkpoint as the arguments of `parser` say.

    Returns:
        the exit code.

    Raises:
        InputError: a file or the config cannot be used.
    """
    cfg = prepare(args)
    theirs = read_release(args.source, trust=args.trust_checkpoint)
    state = adelaidet_to_mmagg(theirs)
    require_head(state, 'mask_head.boxes.', args)
    if args.dictionary is not None:
        add_dictionary(state, args)
    model = MODELS.build(cfg.model)
    if not isinstance(getattr(model, 'mask_head', None), BoxedMaskHead):
        raise InputError(f'config {args.config}: its mask head is not the BoxedMaskHead that these weights are for')
    problems = normalisation_differences(theirs, model) + misfits(state, model)
    notes = note_unseen(settings(model), below='model')
    return finish(model, dict(state_dict=state, meta={}), args, problems=problems, notes=notes)


def add_dictionary(state: dict[str, Tensor], args: argparse.Namespace) -> None:
    """Put MEInst's dictionary, a file of its own in the release, beside the weights.

    Raises:
        InputError: the file cannot be used, or the checkpoint has a dictionary already.
    """
    if f'{CODEC}components' in state:
        raise InputError(f'--dictionary {args.dictionary}: checkpoint {args.source} has its own; leave it out')
    if not args.dictionary.is_file():
        raise InputError(f'--dictionary {args.dictionary}: no such file')
    try:
        dictionary = Dictionary.read(args.dictionary)
    except ValueError as error:
        raise InputError(f'--dictionary {error}') from error
    for name in ('components', 'mean', 'explained_variance'):
        state[f'{CODEC}{name}'] = getattr(dictionary, name).squeeze(0)  # one for all classes has no class axis


def read_release(path: Path, *, trust: bool = False) -> dict[str, Tensor]:
    """The weights in a checkpoint of Detectron2.

    Args:
        path: a .pth of PyTorch, or a .pkl with NumPy arrays.
        trust: run the code that a .pkl asks for; for a .pth, `secure_loading` decides.

    Returns:
        tensors under the file's names.

    Raises:
        InputError: the file is missing, damaged, unsafe or no checkpoint.
    """
    if not path.is_file():
        raise InputError(f'checkpoint {path}: no such file')
    if path.suffix == '.pkl':
        content = load_pickle(path, trust=trust)
    else:
        content = CheckpointLoader.load_checkpoint(str(path), map_location='cpu', logger='silent')
    state = content.get('model', content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not state:
        raise InputError(f'checkpoint {path}: no weights in it')
    return {str(key).removeprefix('module.'): _tensor(x, f'checkpoint {path}: {key}') for key, x in state.items()}


def normalisation_differences(theirs: Mapping[str, Tensor], model: nn.Module) -> list[str]:
    """A line for the mean and one for the standard deviation of pixels, where the checkpoint has another."""
    lines = []
    for key, option in (('pixel_mean', 'mean'), ('pixel_std', 'std')):
        if key not in theirs:
            continue
        wanted = [round(x, 3) for x in theirs[key].flatten().tolist()]
        ours = getattr(model.data_preprocessor, option, None)
        if ours is None or not np.allclose(ours.flatten().tolist(), wanted, atol=1e-3):
            lines.append(
                f"the checkpoint's {key} is {wanted}, the config's is not: "
                f'add --cfg-options {as_arguments({f"model.data_preprocessor.{option}": wanted})}'
            )
    return lines


def misfits(state: Mapping[str, Tensor], model: nn.Module) -> list[str]:
    """Where the weights do not fit a model.

    Args:
        state: the weights under our names.
        model: of the config.

    Returns:
        a line for each part of the model with such weights: how many, the first of them, and the options that shape
        them. The counter of a BatchNorm's batches may be missing: frozen ones have none.
    """
    own = model.state_dict()
    kinds = {
        'missing': {x: x for x in own if x not in state and not x.endswith('num_batches_tracked')},
        'unknown to the config': {x: x for x in state if x not in own},
        'of another shape': {
            x: f'{x} is {tuple(state[x].shape)} there and {tuple(own[x].shape)} here'
            for x in own
            if x in state and state[x].shape != own[x].shape
        },
    }
    lines = []
    for part, options in PARTS.items():
        found = {kind: [text for key, text in keys.items() if _part(key) == part] for kind, keys in kinds.items()}
        if any(found.values()):
            counts = '; '.join(
                f'{len(x)} {kind} ({", ".join(x[:SHOWN])}{", …" if len(x) > SHOWN else ""})'
                for kind, x in found.items()
                if x
            )
            hint = f': see model.{options}' if options else ''
            lines.append(f'weights of {part.rstrip(".") or "other names"}: {counts}{hint}')
    return lines


def settings(model: nn.Module) -> dict[str, Any]:
    """The values of `UNSEEN` that a model has."""
    found = {}
    for key in UNSEEN:
        try:
            found[key] = attrgetter(key)(model)
        except AttributeError:  # of another type of that part
            continue
    return found


def _part(key: str) -> str:
    return next(part for part in PARTS if key.startswith(part))


def _tensor(value: Any, where: str) -> Tensor:
    if isinstance(value, np.ndarray) and value.dtype.kind in 'fiub':
        return torch.tensor(value)
    if not isinstance(value, Tensor):
        raise InputError(f'{where} is no array of numbers, but {type(value).__name__}')
    return value
