"""Differences between a config and the config that a checkpoint's weights were trained with, as these show it."""

import math
import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Any

from mmdet.models import BaseDetector
from torch import Tensor

from mmagg.models.heads import GridMaskHead
from mmagg.models.masks import DynamicParameters
from mmagg.ops import DynamicConvSpec, num_neighbours
from mmagg.ops.grid_neighbours import PATTERNS

HEAD = 'mask_head.'
PRESENT = 'present'  # a part of the model that no single option can add

BRANCHES = {
    'convs.0.weight': 'StaticMaskBranch',
    'convs_x.0.weight': 'DecoupledMaskBranch',
    'conv_kernel.weight': 'DynamicMaskBranch',
}
# Key of the config: the weight, and its dimension, that has this size.
SIZES = {
    'num_classes': ('conv_cls.weight', 0),
    'class_tower.channels': ('class_tower.0.conv.weight', 0),
    'mask_branch.kernel_size': ('mask_branch.conv_kernel.weight', 2),
    'mask_branch.feature_channels': ('mask_branch.mask_features.branches.0.0.conv.weight', 0),
    'mask_branch.out_channels': ('mask_branch.mask_features.conv_pred.conv.weight', 0),
    'aggregator.parameters.kernel_size': ('aggregator.parameter_branch.conv.weight', 2),
    'aggregator.parameters.channels': ('aggregator.parameter_branch.conv.weight', 1),
}
NOUNS = {
    'num_classes': 'number of classes',
    'grids': 'grid',
    'class_tower.channels': 'width of the class tower',
    'class_tower.num_convs': 'depth of the class tower',
    'mask_branch.type': 'mask branch',
    'mask_branch.grids': 'mask grid',
    'mask_branch.channels': 'width of the mask tower',
    'mask_branch.num_convs': 'depth of the mask tower',
    'mask_branch.shared_tower': 'sharing of a tower by both axes',
    'mask_branch.kernel_size': 'kernel convolution',
    'mask_branch.feature_channels': 'width of the mask feature branches',
    'mask_branch.feature_branch_norm': 'normalisation of the mask feature branches',
    'mask_branch.out_channels': 'number of mask features',
    'aggregator': 'aggregation',
    'aggregator.context': 'context',
    'aggregator.context.channels': 'number of context channels',
    'aggregator.context.hidden_channels': 'width of a second context convolution',
    'aggregator.context.source': 'source of the context',
    'aggregator.parameters.type': 'kind of parameters',
    'aggregator.parameters.tower': 'own tower of the parameters',
    'aggregator.parameters.kernel_size': 'parameter convolution',
    'aggregator.parameters.channels': 'number of inputs of the parameter convolution',
}
# Shapes of the aggregation net that are tried: the release's and one step beyond.
NET_CHANNELS, NET_LAYERS, NET_KERNELS = (2, 4, 8, 16), (1, 2, 3, 4), (1, 3, 5)


def disagreements(state: Mapping[str, Tensor], model: BaseDetector) -> list[str]:
    """Compare the weights of a checkpoint with the model of a config.

    Args:
        state: the checkpoint's weights under our names.
        model: a detector with a `GridMaskHead`.

    Returns:
        a line for each difference: the two values, and the change to the config.
    """
    theirs, ours = traits(state), traits(model.state_dict())
    differing = [key for key in theirs if key in ours and theirs[key] != ours[key]]
    if 'mask_branch.type' in differing:  # another method: the rest cannot be compared
        differing = ['mask_branch.type']
    lines = [
        f"the checkpoint's {NOUNS[key]} is {_words(key, theirs[key])}, the config's {_words(key, ours[key])}: "
        + _remedy(key, theirs)
        for key in differing
    ]
    number = 'aggregator.parameter_branch.conv.weight'
    if 'mask_branch.type' not in differing and HEAD + number in state and HEAD + number in model.state_dict():
        lines += _net_disagreement(len(state[HEAD + number]), theirs, ours, model.mask_head.aggregator.spec)
    return lines


def traits(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The settings of a head that its weights show.

    Args:
        state: a detector's weights under our names.

    Returns:
        value by key below `model.mask_head`; None for a part that is not there.
    """
    shapes = {key.removeprefix(HEAD): tuple(x.shape) for key, x in state.items() if key.startswith(HEAD)}

    def sizes(pattern: str) -> list[int]:
        return [shape[0] for key, shape in shapes.items() if re.fullmatch(pattern, key)]

    def present(part: str) -> str | None:
        return PRESENT if any(key.startswith(part + '.') for key in shapes) else None

    found: dict[str, Any] = {key: shapes[weight][dim] for key, (weight, dim) in SIZES.items() if weight in shapes}
    found['class_tower.num_convs'] = len(sizes(r'class_tower\.\d+\.conv\.weight'))
    found['mask_branch.type'] = next((kind for x, kind in BRANCHES.items() if f'mask_branch.{x}' in shapes), None)
    tower = sizes(r'mask_branch\.(tower|towers\.(x|xy))\.\d+\.conv\.weight')
    if tower:
        found['mask_branch.channels'], found['mask_branch.num_convs'] = tower[0], len(tower)
    if found['mask_branch.type'] == 'DecoupledMaskBranch':
        found['mask_branch.shared_tower'] = present('mask_branch.towers.xy') is not None
    if found['mask_branch.type'] == 'DynamicMaskBranch':
        found['mask_branch.feature_branch_norm'] = present('mask_branch.mask_features.branches.0.0.gn') is not None

    found['aggregator'] = present('aggregator')
    grids = [math.isqrt(n) for n in sizes(r'mask_branch\.convs\.\d+\.weight')]
    grids = grids or sizes(r'mask_branch\.convs_x\.\d+\.weight')
    if grids:
        found['mask_branch.grids' if found['aggregator'] else 'grids'] = grids
    if found['aggregator']:
        found['aggregator.context'] = present('aggregator.context')
        static = 'aggregator.parameter_branch.params' in shapes
        found['aggregator.parameters.type'] = 'StaticParameters' if static else 'DynamicParameters'
        if not static:
            found['aggregator.parameters.tower'] = present('aggregator.parameter_branch.tower')
        found |= _context_traits(shapes)
    return found


def unseen(head: GridMaskHead) -> dict[str, Any]:
    """The settings of a head that its weights do not show: value by key below `model.mask_head`."""
    found: dict[str, Any] = {'grids': list(head.grids)}
    if head.aggregator is not None:
        found['mask_branch.grids'] = list(head.mask_branch.grids)
        found['aggregator.mask_activation'] = head.aggregator.mask_activation
        if isinstance(head.aggregator.parameter_branch, DynamicParameters):
            found['aggregator.parameters.activation'] = head.aggregator.parameter_branch.activation
    seen = traits({HEAD + key: x for key, x in head.state_dict().items()})
    return {key: value for key, value in found.items() if key not in seen}


def as_arguments(options: Mapping[str, Any]) -> str:
    """Options as they are typed after `--cfg-options`."""
    return ' '.join(shlex.quote(f'{key}={_typed(value)}') for key, value in options.items())


def _typed(value: Any) -> str:
    """A value as mmengine's `DictAction` reads it."""
    if isinstance(value, list | tuple):
        text = ','.join(_typed(x) for x in value)
        return f'[{text}]' if isinstance(value, list) else f'({text})'
    return str(value)


def _context_traits(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    fuse = shapes.get('aggregator.context.fuse.weight')
    if fuse is None:
        return {}
    reduce = shapes.get('aggregator.context.reduce.2.weight')
    pyramid = shapes['class_tower.0.conv.weight'][1]
    return {
        'aggregator.context.channels': (reduce or fuse)[0],
        'aggregator.context.hidden_channels': fuse[0] if reduce else None,
        'aggregator.context.source': 'pyramid' if fuse[1] > pyramid else 'mask_features',
    }


def _words(key: str, value: Any) -> str:
    if key.endswith('kernel_size'):
        return f'{value} x {value}'
    if isinstance(value, list):
        return '-'.join(map(str, value))
    if value is None or isinstance(value, bool):
        return 'present' if value else 'absent'
    return str(value)


def _remedy(key: str, theirs: Mapping[str, Any]) -> str:
    """The change by which the config agrees with the checkpoint at `key`."""
    if key == 'mask_branch.type':
        return 'use a config of that method'
    if theirs[key] == PRESENT:
        return f'use a config that has model.{HEAD}{key}'
    options: dict[str, Any] = {key: theirs[key]}
    if key == 'aggregator.parameters.tower':
        on_solov2 = theirs['mask_branch.type'] == 'DynamicMaskBranch'
        options['aggregator.parameters.features'] = 'mask_tower' if on_solov2 else 'class_tower'
    return _add(options)


def _add(options: Mapping[str, Any]) -> str:
    return 'add --cfg-options ' + as_arguments({f'model.{HEAD}{key}': value for key, value in options.items()})


def _net_disagreement(
    number: int, theirs: Mapping[str, Any], ours: Mapping[str, Any], now: DynamicConvSpec
) -> list[str]:
    """The fewest changes to the config's aggregation net that give it the checkpoint's number of parameters."""
    context = theirs.get('aggregator.context.channels', 0)
    neighbours = now.in_channels - ours.get('aggregator.context.channels', 0)
    if neighbours + context and replace(now, in_channels=neighbours + context).num_params == number:
        return []
    fitting = []
    for pattern, channels, layers, kernel in product(
        PATTERNS, sorted({*NET_CHANNELS, now.channels}), NET_LAYERS, NET_KERNELS
    ):
        inputs = num_neighbours(pattern) + context
        if inputs and DynamicConvSpec(inputs, channels, layers, kernel).num_params == number:
            wanted = dict(neighbours=pattern, channels=channels, num_layers=layers, kernel_size=kernel)
            has: dict[str, Any] = dict(channels=now.channels, num_layers=now.num_layers, kernel_size=now.kernel_size)
            if num_neighbours(pattern) == neighbours:
                has['neighbours'] = pattern
            fitting.append({f'aggregator.{k}': value for k, value in wanted.items() if has.get(k) != value})
    fewest = min(map(len, fitting), default=0)
    remedies = [_add(options) for options in fitting if len(options) == fewest]
    return [
        f'the checkpoint predicts {number} parameters per cell for its aggregation net and the config '
        f'{now.num_params}: '
        + (' or '.join(remedies) or f'find model.{HEAD}aggregator.{{neighbours,channels,num_layers,kernel_size}}')
    ]
