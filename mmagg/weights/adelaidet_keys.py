"""Our names for the weights of AdelaiDet's BlendMask and MEInst, by rules as in `key_maps`.

Where the release numbers the members of an `nn.Sequential`, activations and resizing count there, not here.
"""

import re
from collections.abc import Mapping

from torch import Tensor

from mmagg.weights.key_maps import Rules, rename

# Detectron2's ResNet; its BatchNorm is a member of the convolution.
BACKBONE: Rules = [
    (r'^backbone\.bottom_up\.stem\.conv1\.norm\.', 'backbone.bn1.'),
    (r'^backbone\.bottom_up\.stem\.conv1\.', 'backbone.conv1.'),
    (
        r'^backbone\.bottom_up\.res(\d)\.(\d+)\.(.+)',
        lambda found: f'backbone.layer{int(found[1]) - 1}.{found[2]}.{rename(found[3], RESIDUAL_BLOCK)}',
    ),
]
RESIDUAL_BLOCK: Rules = [
    (r'^conv(\d)\.norm\.', r'bn\1.'),
    (r'^conv2_offset\.', 'conv2.conv_offset.'),
    (r'^shortcut\.norm\.', 'downsample.1.'),
    (r'^shortcut\.', 'downsample.0.'),
]
FPN_LEVEL = r'^backbone\.(fpn_lateral|fpn_output|top_block\.p)(\d+)\.'

# FCOS, and what MEInst adds to it. The towers repeat convolution (plain or deformable), normalisation (GN or one BN per
# level), ReLU.
TOWERS = dict(share='boxes.shared_tower', cls='boxes.class_tower', bbox='boxes.box_tower', mask='coefficients.tower')
TOWER_CONV = [(r'^offset\.', 'conv.conv_offset.'), (r'^(conv\.)?', 'conv.')]
TOWER_NORM = [(r'^(?=\d+\.)', 'bns.'), (r'^', 'gn.')]
FCOS_HEAD = r'^proposal_generator\.(?:fcos|MEInst)_head\.'
HEAD: Rules = [
    (
        FCOS_HEAD + r'(share|cls|bbox|mask)_tower\.(\d+)\.(.+)',
        lambda found: _tower_key(found[0], TOWERS[found[1]], int(found[2]), found[3]),
    ),
    (FCOS_HEAD + r'cls_logits\.', 'mask_head.boxes.conv_cls.'),
    (FCOS_HEAD + r'bbox_pred\.', 'mask_head.boxes.conv_box.'),
    (FCOS_HEAD + r'(?:ctrness|centerness)\.', 'mask_head.boxes.conv_centerness.'),
    (FCOS_HEAD + r'scales\.', 'mask_head.boxes.scales.'),
    (FCOS_HEAD + r'mask_pred\.', 'mask_head.coefficients.conv.'),
    (r'^top_layer\.', 'mask_head.coefficients.conv.'),
]

# The bases and the semantic head repeat convolution, BN, ReLU; one member of the bases' tower is the upsampling.
BLOCK = {0: 'conv', 1: 'bn'}
BASIS_BLOCK = r'^basis_module\.tower\.(\d+)\.([01])\.'
MASKS: Rules = [
    (
        r'^basis_module\.refine\.(\d+)\.([01])\.',
        lambda found: f'mask_head.masks.basis.refine.{found[1]}.{BLOCK[int(found[2])]}.',
    ),
    (r'^basis_module\.tower\.\d+\.(?=weight$|bias$)', 'mask_head.masks.basis.conv_bases.'),
    (
        r'^basis_module\.seg_head\.([0134])\.',
        lambda found: f'mask_head.semantic.convs.{int(found[1]) // 3}.{BLOCK[int(found[1]) % 3]}.',
    ),
    (r'^basis_module\.seg_head\.6\.', 'mask_head.semantic.conv_logits.'),
    (r'^proposal_generator\.mask_encoding\.components$', 'mask_head.masks.codec.components'),
    (r'^proposal_generator\.mask_encoding\.means$', 'mask_head.masks.codec.mean'),
    (r'^proposal_generator\.mask_encoding\.explained_variances$', 'mask_head.masks.codec.explained_variance'),
]

NOT_WEIGHTS = ('pixel_mean', 'pixel_std')  # of the images, which our data preprocessor normalises


def adelaidet_to_mmagg(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a BlendMask or MEInst of AdelaiDet under our names.

    A level's scale, (1,) there, becomes a scalar tensor, as in mmcv.
    """
    levels, blocks = _ranks(state, FPN_LEVEL, 2), _ranks(state, BASIS_BLOCK, 1)
    rules: Rules = [
        *BACKBONE,
        (
            FPN_LEVEL,
            lambda found: f'neck.{"lateral" if "lateral" in found[1] else "fpn"}_convs.{levels[int(found[2])]}.conv.',
        ),
        *HEAD,
        (BASIS_BLOCK, lambda found: f'mask_head.masks.basis.tower.{blocks[int(found[1])]}.{BLOCK[int(found[2])]}.'),
        *MASKS,
    ]
    result = {rename(key, rules): value for key, value in state.items() if key not in NOT_WEIGHTS}
    return {key: value.squeeze() if key.endswith('.scale') else value for key, value in result.items()}


def _tower_key(theirs: str, tower: str, place: int, rest: str) -> str:
    """Our name of a weight in a head's tower, given its place among convolutions, normalisations and ReLUs."""
    layer, kind = divmod(place, 3)
    if kind == 2:  # a ReLU has no weights: this is a tower without normalisation, which we do not have
        return theirs
    return f'mask_head.{tower}.{layer}.{rename(rest, (TOWER_CONV, TOWER_NORM)[kind])}'


def _ranks(state: Mapping[str, Tensor], pattern: str, group: int) -> dict[int, int]:
    """The numbers in the keys that fit `pattern`, each with its rank among them."""
    numbers = {int(found[group]) for key in state if (found := re.search(pattern, key))}
    return {number: rank for rank, number in enumerate(sorted(numbers))}
