"""The names of AdelaiDet's weights as ours: a table written by hand from the authors' code."""

import pytest
import torch

from mmagg.weights.adelaidet_keys import adelaidet_to_mmagg

FCOS, MEINST = 'proposal_generator.fcos_head.', 'proposal_generator.MEInst_head.'
BACKBONE = {
    'backbone.bottom_up.stem.conv1.weight': 'backbone.conv1.weight',
    'backbone.bottom_up.stem.conv1.norm.running_var': 'backbone.bn1.running_var',
    'backbone.bottom_up.res2.0.shortcut.weight': 'backbone.layer1.0.downsample.0.weight',
    'backbone.bottom_up.res2.0.shortcut.norm.bias': 'backbone.layer1.0.downsample.1.bias',
    'backbone.bottom_up.res4.22.conv3.weight': 'backbone.layer3.22.conv3.weight',
    'backbone.bottom_up.res5.2.conv1.norm.running_mean': 'backbone.layer4.2.bn1.running_mean',
    'backbone.bottom_up.res3.0.conv2.weight': 'backbone.layer2.0.conv2.weight',
    'backbone.bottom_up.res3.0.conv2_offset.bias': 'backbone.layer2.0.conv2.conv_offset.bias',
    'backbone.fpn_lateral3.weight': 'neck.lateral_convs.0.conv.weight',
    'backbone.fpn_lateral5.bias': 'neck.lateral_convs.2.conv.bias',
    'backbone.fpn_output3.weight': 'neck.fpn_convs.0.conv.weight',
    'backbone.fpn_output4.weight': 'neck.fpn_convs.1.conv.weight',
    'backbone.fpn_output5.bias': 'neck.fpn_convs.2.conv.bias',
    'backbone.top_block.p6.weight': 'neck.fpn_convs.3.conv.weight',
    'backbone.top_block.p7.bias': 'neck.fpn_convs.4.conv.bias',
}
RENAMED = {
    'blendmask': BACKBONE
    | {
        FCOS + 'cls_tower.0.weight': 'mask_head.boxes.class_tower.0.conv.weight',
        FCOS + 'cls_tower.10.bias': 'mask_head.boxes.class_tower.3.gn.bias',
        FCOS + 'bbox_tower.9.bias': 'mask_head.boxes.box_tower.3.conv.bias',
        FCOS + 'bbox_tower.1.weight': 'mask_head.boxes.box_tower.0.gn.weight',
        FCOS + 'cls_logits.weight': 'mask_head.boxes.conv_cls.weight',
        FCOS + 'bbox_pred.bias': 'mask_head.boxes.conv_box.bias',
        FCOS + 'ctrness.weight': 'mask_head.boxes.conv_centerness.weight',
        'top_layer.weight': 'mask_head.coefficients.conv.weight',
        'basis_module.refine.2.0.weight': 'mask_head.masks.basis.refine.2.conv.weight',
        'basis_module.refine.0.1.running_mean': 'mask_head.masks.basis.refine.0.bn.running_mean',
        'basis_module.tower.0.0.weight': 'mask_head.masks.basis.tower.0.conv.weight',
        'basis_module.tower.1.1.num_batches_tracked': 'mask_head.masks.basis.tower.1.bn.num_batches_tracked',
        'basis_module.tower.2.0.weight': 'mask_head.masks.basis.tower.2.conv.weight',
        'basis_module.tower.4.1.bias': 'mask_head.masks.basis.tower.3.bn.bias',
        'basis_module.tower.5.weight': 'mask_head.masks.basis.conv_bases.weight',
        'basis_module.seg_head.0.weight': 'mask_head.semantic.convs.0.conv.weight',
        'basis_module.seg_head.1.running_var': 'mask_head.semantic.convs.0.bn.running_var',
        'basis_module.seg_head.3.weight': 'mask_head.semantic.convs.1.conv.weight',
        'basis_module.seg_head.4.bias': 'mask_head.semantic.convs.1.bn.bias',
        'basis_module.seg_head.6.bias': 'mask_head.semantic.conv_logits.bias',
    },
    'real-time, one BN per level': {
        FCOS + 'share_tower.6.weight': 'mask_head.boxes.shared_tower.2.conv.weight',
        FCOS + 'share_tower.7.2.running_mean': 'mask_head.boxes.shared_tower.2.bns.2.running_mean',
        FCOS + 'share_tower.1.0.num_batches_tracked': 'mask_head.boxes.shared_tower.0.bns.0.num_batches_tracked',
        FCOS + 'centerness.bias': 'mask_head.boxes.conv_centerness.bias',  # the name until April 2020
        'basis_module.tower.0.0.weight': 'mask_head.masks.basis.tower.0.conv.weight',
        'basis_module.tower.1.0.weight': 'mask_head.masks.basis.tower.1.conv.weight',
        'basis_module.tower.3.0.weight': 'mask_head.masks.basis.tower.2.conv.weight',
        'basis_module.tower.4.bias': 'mask_head.masks.basis.conv_bases.bias',
    },
    'meinst': BACKBONE
    | {
        MEINST + 'cls_tower.9.offset.weight': 'mask_head.boxes.class_tower.3.conv.conv_offset.weight',
        MEINST + 'cls_tower.9.conv.weight': 'mask_head.boxes.class_tower.3.conv.weight',
        MEINST + 'bbox_tower.9.offset.bias': 'mask_head.boxes.box_tower.3.conv.conv_offset.bias',
        MEINST + 'mask_tower.9.conv.weight': 'mask_head.coefficients.tower.3.conv.weight',
        MEINST + 'mask_tower.9.offset.bias': 'mask_head.coefficients.tower.3.conv.conv_offset.bias',
        MEINST + 'mask_tower.6.bias': 'mask_head.coefficients.tower.2.conv.bias',
        MEINST + 'mask_tower.10.weight': 'mask_head.coefficients.tower.3.gn.weight',
        MEINST + 'mask_pred.weight': 'mask_head.coefficients.conv.weight',
        MEINST + 'cls_logits.bias': 'mask_head.boxes.conv_cls.bias',
        MEINST + 'scales.4.scale': 'mask_head.boxes.scales.4.scale',
        'proposal_generator.mask_encoding.components': 'mask_head.masks.codec.components',
        'proposal_generator.mask_encoding.means': 'mask_head.masks.codec.mean',
        'proposal_generator.mask_encoding.explained_variances': 'mask_head.masks.codec.explained_variance',
    },
    'pyramid from P2': {
        'backbone.fpn_lateral2.weight': 'neck.lateral_convs.0.conv.weight',
        'backbone.fpn_lateral5.weight': 'neck.lateral_convs.3.conv.weight',
        'backbone.fpn_output2.weight': 'neck.fpn_convs.0.conv.weight',
        'backbone.fpn_lateral3.weight': 'neck.lateral_convs.1.conv.weight',
        'backbone.fpn_lateral4.weight': 'neck.lateral_convs.2.conv.weight',
        'backbone.top_block.p6.weight': 'neck.fpn_convs.4.conv.weight',
    },
}


@pytest.mark.parametrize('kind', RENAMED)
def test_names(kind):
    theirs = {key: torch.full((1,), float(i)) for i, key in enumerate(RENAMED[kind])}
    ours = adelaidet_to_mmagg(theirs | {'pixel_mean': torch.zeros(3), 'pixel_std': torch.ones(3)})
    assert {key: x.item() for key, x in ours.items()} == {RENAMED[kind][key]: x.item() for key, x in theirs.items()}


def test_only_scales_change_their_shape():
    theirs = {MEINST + 'scales.0.scale': torch.ones(1), MEINST + 'ctrness.bias': torch.ones(1)}
    shapes = {key: tuple(x.shape) for key, x in adelaidet_to_mmagg(theirs).items()}
    assert shapes == {'mask_head.boxes.scales.0.scale': (), 'mask_head.boxes.conv_centerness.bias': (1,)}


def test_a_tower_without_normalisation_is_not_taken_for_one_with():
    theirs = {FCOS + 'cls_tower.2.weight': torch.ones(1)}
    assert adelaidet_to_mmagg(theirs).keys() == theirs.keys()
