"""Our names for the weights of other projects.

Rules are pairs (pattern, replacement), tried in this order; a key that fits none keeps its name.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

Rules = Sequence[tuple[str, str | Callable[[re.Match[str]], str]]]

# mmdet's SOLOHead, DecoupledSOLOHead, DecoupledSOLOLightHead and SOLOV2Head. Keys inside the head, or with the prefix
# `mask_head.` of a whole detector.
MMDET: Rules = [
    (r'^cls_convs\.', 'class_tower.'),
    (r'^mask_convs\.', 'mask_branch.tower.'),
    (r'^conv_mask_list\.', 'mask_branch.convs.'),
    (r'^mask_convs_([xy])\.', r'mask_branch.towers.\1.'),
    (r'^conv_mask_list_([xy])\.', r'mask_branch.convs_\1.'),
    (r'^kernel_convs\.', 'mask_branch.tower.'),
    (r'^conv_kernel\.', 'mask_branch.conv_kernel.'),
    (r'^mask_feature_head\.convs_all_levels\.(\d+)\.conv(\d+)\.', r'mask_branch.mask_features.branches.\1.\2.'),
    (r'^mask_feature_head\.conv_pred\.', 'mask_branch.mask_features.conv_pred.'),
]

# The code that SOLO's and AggMask's authors released (MMDetection 1): `bbox_head.` is the head there, and AggMask's
# three parts of the aggregation come last. SOLOv2's final form has its mask features beside the head.
RELEASED: Rules = [
    (r'^cate_convs\.', 'class_tower.'),
    (r'^d?solo_cate\.', 'conv_cls.'),
    (r'^ins_convs\.', 'mask_branch.tower.'),
    (r'^solo_ins_list\.', 'mask_branch.convs.'),
    (r'^ins_convs_([xy])\.', r'mask_branch.towers.\1.'),
    (r'^dsolo_ins_list_([xy])\.', r'mask_branch.convs_\1.'),
    (r'^kernel_convs\.', 'mask_branch.tower.'),
    (r'^solo_kernel\.', 'mask_branch.conv_kernel.'),
    (r'^(?:feature_convs|convs_all_levels)\.(\d+)\.conv(\d+)\.', r'mask_branch.mask_features.branches.\1.\2.'),
    (r'^(?:solo_mask|conv_pred\.0)\.', 'mask_branch.mask_features.conv_pred.'),
    (r'^kernel_convs_convcomb\.', 'aggregator.parameter_branch.tower.'),
    (r'^learned_weights\.', 'aggregator.parameter_branch.conv.'),
    (r'^context_fusion_convs\.0\.', 'aggregator.context.fuse.'),
    (r'^context_fusion_convs\.([13])\.', lambda found: f'aggregator.context.reduce.{int(found[1]) - 1}.'),
]


def mmdet_to_mmagg(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of an mmdet SOLO, Decoupled SOLO or SOLOv2, or of its head alone, under our names."""
    return renamed(state, MMDET, ('mask_head.',))


def released_to_mmagg(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the AggMask release or of the SOLO authors' models, or of a head alone, under our names."""
    return renamed(state, RELEASED, ('bbox_head.', 'mask_feat_head.'))


def renamed(state: Mapping[str, Tensor], rules: Rules, heads: tuple[str, ...]) -> dict[str, Tensor]:
    """Apply `rules` to every key; a prefix among `heads` is left out of that, and becomes `mask_head.`."""
    result = {}
    for key, value in state.items():
        head = next((x for x in heads if key.startswith(x)), '')
        result[('mask_head.' if head else '') + rename(key.removeprefix(head), rules)] = value
    if any('mask_branch.convs_x.' in key for key in result):
        # Decoupled SOLO Light has one tower for both axes, under the name that SOLO's has.
        result = {k.replace('mask_branch.tower.', 'mask_branch.towers.xy.'): value for k, value in result.items()}
    return result


def rename(key: str, rules: Rules) -> str:
    """The key after the first rule that fits."""
    return next((re.sub(old, new, key) for old, new in rules if re.search(old, key)), key)
