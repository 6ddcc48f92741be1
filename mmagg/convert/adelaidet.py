"""Checkpoints of AdelaiDet's BlendMask and MEInst."""

from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.models import BaseDetector
from torch import Tensor

from mmagg.apis.checkpoint import listed, misfits
from mmagg.apis.release_files import read_release
from mmagg.convert.conversion import Converted, model_for, require_head, write_converted
from mmagg.convert.disagreements import as_arguments
from mmagg.io.errors import InputError
from mmagg.io.paths import keep_apart
from mmagg.models.heads import BoxedMaskHead
from mmagg.models.masks.boxed.pca_codec import Dictionary
from mmagg.weights.adelaidet_keys import adelaidet_to_mmagg

# The starts of keys, the first that fits counts, and the options below `model` that shape these weights.
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
# Settings that change a model's results, but no weight.
UNSEEN = ('backbone.style', 'neck.relu_before_extra_convs', 'mask_head.masks.mask_size')


def convert_adelaidet(
    source: str | Path,
    target: str | Path,
    *,
    config: str | Path,
    dictionary: str | Path | None = None,
    cfg_options: dict | None = None,
    trust_checkpoint: bool = False,
) -> Converted:
    """Convert a checkpoint of AdelaiDet's BlendMask or MEInst.

    Args:
        source: the checkpoint, .pth or .pkl.
        target: the checkpoint to write; it is written only if all weights fit.
        config: our config of the model.
        dictionary: MEInst's dictionary of masks (.npz), where ``source`` is without it.
        cfg_options: changes to the config, dotted keys.
        trust_checkpoint: read a checkpoint that holds code; see `secure_loading`, which decides for the whole process.

    Raises:
        InputError: a file or the config cannot be used; or weights do not fit, with a line for each part of the model.
    """
    source, target = Path(source), Path(target)
    keep_apart({'DST': target}, [dictionary])
    model = model_for(config, cfg_options, BoxedMaskHead, source=source, target=target, trust=trust_checkpoint)
    theirs = read_release(source, trust=trust_checkpoint)
    state = adelaidet_to_mmagg(theirs)
    require_head(state, 'mask_head.boxes.', source)
    if dictionary is not None:
        _add_dictionary(state, Path(dictionary), source)
    problems = _normalisation_differences(theirs, model) + _misfits(state, model)
    if problems:
        raise InputError(*problems)
    return write_converted(
        model,
        dict(state_dict=state, meta={}),
        source=source,
        target=target,
        unseen=_settings(model),
        below='model',
        cfg_options=cfg_options,
    )


def _add_dictionary(state: dict[str, Tensor], path: Path, source: Path) -> None:
    """Put MEInst's dictionary, a file of its own in the release, beside the weights.

    Raises:
        InputError: the file cannot be used, or the checkpoint has a dictionary already.
    """
    if f'{CODEC}components' in state:
        raise InputError(f'--dictionary {path}: checkpoint {source} has its own; leave it out')
    if not path.is_file():
        raise InputError(f'--dictionary {path}: no such file')
    try:
        dictionary = Dictionary.read(path)
    except ValueError as error:
        raise InputError(f'--dictionary {error}') from error
    for name in ('components', 'mean', 'explained_variance'):
        state[f'{CODEC}{name}'] = getattr(dictionary, name).squeeze(0)  # one for all classes has no class axis


def _normalisation_differences(theirs: Mapping[str, Tensor], model: BaseDetector) -> list[str]:
    """A line each for the mean and the standard deviation of pixels, if the checkpoint has another."""
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


def _misfits(state: Mapping[str, Tensor], model: BaseDetector) -> list[str]:
    """A line for each part of the model with weights that do not fit, and the options that shape them."""
    kinds, lines = misfits(model, state), []
    for part, options in PARTS.items():
        found = {kind: [text for key, text in keys.items() if _part(key) == part] for kind, keys in kinds.items()}
        if any(found.values()):
            hint = f': see model.{options}' if options else ''
            lines.append(f'weights of {part.rstrip(".") or "other names"}: {listed(found)}{hint}')
    return lines


def _settings(model: BaseDetector) -> dict[str, Any]:
    """The values of `UNSEEN` in a model, without those that its types do not have."""
    values = {key: reduce(lambda part, name: getattr(part, name, None), key.split('.'), model) for key in UNSEEN}
    return {key: value for key, value in values.items() if value is not None}


def _part(key: str) -> str:
    return next(part for part in PARTS if key.startswith(part))
