"""Checkpoints of other projects as ours: one renaming of keys per project.

A renaming is a list of (pattern, replacement), tried in this order; a key that fits none keeps its name.
"""

import re
from collections.abc import Mapping

from torch import Tensor

# mmdet's SOLOHead, DecoupledSOLOHead, DecoupledSOLOLightHead and SOLOV2Head. Keys inside the head, or with the prefix
# `mask_head.` of a whole detector.
MMDET = [
    (r'^cls_convs\.', 'class_tower.'),
    (r'^mask_convs\.', 'mask_branch.tower.'),
    (r'^conv_mask_list\.', 'mask_branch.convs.'),
    (r'^mask_convs_([xy])\.', r'mask_branch.towers.\1.'),
    (r'^conv_mask_list_([xy])\.', r'mask_branch.convs_\1.'),
    (r'^kernel_convs\.', 'mask_branch.tower.'),
    (r'^conv_kernel\.', 'mask_branch.conv_kernel.'),
    (
        r'^mask_feature_head\.convs_all_levels\.(\d+)\.conv(\d+)\.',
        r'mask_branch.mask_features.branches.\1.\2.',
    ),
    (r'^mask_feature_head\.conv_pred\.', 'mask_branch.mask_features.conv_pred.'),
]


def mmdet_to_mmagg(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of an mmdet SOLO, Decoupled SOLO or SOLOv2.

    Args:
        state: a state dict of the detector, or of its head alone.

    Returns:
        the same tensors under our names.
    """
    # Decoupled SOLO Light has one tower for both axes, under the name that SOLO's has.
    light = any(re.search(r'\bconv_mask_list_x\.', key) for key in state) and not any(
        'mask_convs_x.' in k for k in state
    )
    rules = [(r'^mask_convs\.', 'mask_branch.towers.xy.'), *MMDET] if light else MMDET
    return {rename(key, rules): value for key, value in state.items()}


def rename(key: str, rules: list[tuple[str, str]], prefix: str = 'mask_head.') -> str:
    """The first fitting rule applied to what follows `prefix` (or to all of the key)."""
    head = prefix if key.startswith(prefix) else ''
    rest = key.removeprefix(prefix)
    for pattern, replacement in rules:
        if re.search(pattern, rest):
            return head + re.sub(pattern, replacement, rest)
    return key
