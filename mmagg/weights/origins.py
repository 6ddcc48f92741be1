"""Checkpoints of other projects, told by their keys, and the command that converts them."""

import re
import shlex
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from torch import Tensor

from mmagg.weights.adelaidet_keys import adelaidet_to_mmagg
from mmagg.weights.key_maps import mmdet_to_mmagg, released_to_mmagg


@dataclass(frozen=True)
class Origin:
    """Where checkpoints come from.

    Attributes:
        name: as messages name it.
        keys: matches the keys that tell it from all others.
        converter: the command that reads it.
        to_mmagg: gives its weights our names.
        terms: of use, in a few words; '' where none are stated.
    """

    name: str
    keys: str
    converter: str
    to_mmagg: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    terms: str = ''


ORIGINS = (
    Origin(
        "mmdet's SOLO, Decoupled SOLO or SOLOv2",
        r'mask_head\.(cls_convs|mask_convs(_[xy])?|conv_mask_list(_[xy])?|conv_kernel|kernel_convs)\.',
        'convert-mmdet',
        mmdet_to_mmagg,
    ),
    Origin(
        "the AggMask release or the SOLO authors' code",
        r'bbox_head\.(cate_convs|ins_convs|d?solo_\w+)|mask_feat_head\.',
        'convert-aggmask',
        released_to_mmagg,
    ),
    Origin(
        "AdelaiDet's BlendMask or MEInst",
        r'basis_module\.|proposal_generator\.MEInst_head\.',
        'convert-adelaidet',
        adelaidet_to_mmagg,
        'for non-commercial use',
    ),
)


def origin_of(keys: Collection[str]) -> Origin | None:
    """The project whose names these are, or None for any other."""
    return next((one for one in ORIGINS if any(re.match(one.keys, key) for key in keys)), None)


def converter_hint(
    theirs: Collection[str], source: object, *, ours: Collection[str] = (), config: object = 'CONFIG'
) -> str:
    """How to convert a checkpoint that does not fit, or '' where no command is for it.

    Args:
        theirs: the checkpoint's keys.
        source: the file, or its URL.
        ours: the model's keys; a model of the same project needs no conversion.
        config: the model's config.
    """
    origin = origin_of(theirs)
    if origin is None or origin == origin_of(ours):
        return ''
    return f'its keys are those of {origin.name}, convert it first: {conversion(origin.converter, source, config)}'


def conversion(converter: str, source: object, config: object = 'CONFIG') -> str:
    """The command that converts ``source``, as it is typed; what is read from a URL must be a file first."""
    path = PurePosixPath(str(source).rpartition('://')[2])
    source = path.name if '://' in str(source) else str(source)
    words = (source, f'{path.stem}_mmagg.pth', '--config', str(config))
    return f'mmagg {converter} {shlex.join(words)}'
