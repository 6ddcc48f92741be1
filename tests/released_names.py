"""The names that weights have in other projects' releases, written out by hand, not taken from the converters."""

import re

import torch

# The AggMask release and SOLO's authors: our names, theirs.
TOWER = {'class_tower.': 'cate_convs.', 'conv_cls.': 'solo_cate.'}
CONTEXT = {
    'aggregator.parameter_branch.conv.': 'learned_weights.',
    'aggregator.context.fuse.': 'context_fusion_convs.0.',
    'aggregator.context.reduce.0.': 'context_fusion_convs.1.',
    'aggregator.context.reduce.2.': 'context_fusion_convs.3.',
}
SOLO = TOWER | {'mask_branch.tower.': 'ins_convs.', 'mask_branch.convs.': 'solo_ins_list.'}
DECOUPLED = {
    'class_tower.': 'cate_convs.',
    'conv_cls.': 'dsolo_cate.',
    'mask_branch.convs_x.': 'dsolo_ins_list_x.',
    'mask_branch.convs_y.': 'dsolo_ins_list_y.',
    'mask_branch.towers.x.': 'ins_convs_x.',
    'mask_branch.towers.y.': 'ins_convs_y.',
    'mask_branch.towers.xy.': 'ins_convs.',
}
KERNELS = TOWER | {'mask_branch.tower.': 'kernel_convs.', 'mask_branch.conv_kernel.': 'solo_kernel.'}
BRANCH_CONVS = ((0, 0), (1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))
AGGMASK_ON_SOLOV2 = (
    KERNELS
    | CONTEXT
    | {'aggregator.parameter_branch.tower.': 'kernel_convs_convcomb.'}
    | {'mask_branch.mask_features.conv_pred.': 'solo_mask.'}
    | {f'mask_branch.mask_features.branches.{i}.{j}.': f'feature_convs.{i}.conv{j}.' for i, j in BRANCH_CONVS}
)
# SOLOv2's final form: a second head, beside the first.
MASK_FEATURES = {'mask_branch.mask_features.conv_pred.': 'conv_pred.0.'} | {
    f'mask_branch.mask_features.branches.{i}.{j}.': f'convs_all_levels.{i}.conv{j}.' for i, j in BRANCH_CONVS
}

WHOLE = {
    'aggmask/aggmask-solo_r50_fpn_3x_coco.py': SOLO | CONTEXT,
    'aggmask/aggmask-solo_r50_fpn_cls-grid_3x_coco.py': SOLO | CONTEXT,
    'aggmask/aggmask-solo_r50_fpn_mask-grid_3x_coco.py': SOLO | CONTEXT,
    'aggmask/aggmask-solov2_r50_fpn_6x_coco.py': AGGMASK_ON_SOLOV2,
    'aggmask/aggmask-solov2_r50_fpn_cls-grid_6x_coco.py': AGGMASK_ON_SOLOV2,
    'aggmask/aggmask-solov2_r50_fpn_mask-grid_6x_coco.py': AGGMASK_ON_SOLOV2,
    'solo/solo_r50_fpn_3x_coco.py': SOLO,
    'solo/decoupled-solo_r50_fpn_3x_coco.py': DECOUPLED,
    'solo/decoupled-solo-light_r50_fpn_3x_coco.py': DECOUPLED,
    'solov2/solov2_r50_fpn_3x_coco.py': KERNELS,
    'aggmask/solov2-early_r50_fpn_6x_coco.py': KERNELS,
    'solov2/solov2-light_r50_fpn_3x_coco.py': KERNELS,
}


def named_as(names, state):
    """The state dict under the authors' names."""
    result = {}
    for key, value in state.items():
        name = key
        if key.startswith('mask_head.'):
            rest = key.removeprefix('mask_head.')
            ours = [x for x in names if rest.startswith(x)]
            if ours:
                name = 'bbox_head.' + names[ours[0]] + rest.removeprefix(ours[0])
            else:
                (ours,) = (x for x in MASK_FEATURES if rest.startswith(x))
                name = 'mask_feat_head.' + MASK_FEATURES[ours] + rest.removeprefix(ours)
        result[name] = value
    assert len(result) == len(state)
    return result


# AdelaiDet's BlendMask and MEInst.
FCOS, MEINST = 'proposal_generator.fcos_head.', 'proposal_generator.MEInst_head.'
# From ours to theirs, one step after the other.
STEPS = [
    (r'^backbone\.(conv1|bn1)', r'backbone.bottom_up.stem.\1'),
    (r'^backbone\.layer1', 'backbone.bottom_up.res2'),
    (r'^backbone\.layer2', 'backbone.bottom_up.res3'),
    (r'^backbone\.layer3', 'backbone.bottom_up.res4'),
    (r'^backbone\.layer4', 'backbone.bottom_up.res5'),
    (r'^(backbone.*)\.bn(\d)', r'\1.conv\2.norm'),
    (r'^(backbone.*)\.downsample\.0', r'\1.shortcut'),
    (r'^(backbone.*)\.downsample\.1', r'\1.shortcut.norm'),
    (r'^(backbone.*)\.conv2\.conv_offset', r'\1.conv2_offset'),
    (r'^neck\.fpn_convs\.3\.conv', 'backbone.top_block.p6'),
    (r'^neck\.fpn_convs\.4\.conv', 'backbone.top_block.p7'),
    (r'^neck\.lateral_convs\.(\d)\.conv', lambda m: f'backbone.fpn_lateral{int(m[1]) + 3}'),
    (r'^neck\.fpn_convs\.(\d)\.conv', lambda m: f'backbone.fpn_output{int(m[1]) + 3}'),
    (r'_tower\.(\d)\.conv\.conv_offset', lambda m: f'_tower.{3 * int(m[1])}.offset'),
    (r'_tower\.3\.conv\.', '_tower.9.conv.'),  # a deformable one, in MEInst's models
    (r'_tower\.([012])\.conv', lambda m: f'_tower.{3 * int(m[1])}'),
    (r'_tower\.(\d)\.(gn|bns)', lambda m: f'_tower.{3 * int(m[1]) + 1}' + ('' if m[2] == 'gn' else '.bns')),
    (r'\.bns', ''),
    (r'boxes\.shared_', 'boxes.share_'),
    (r'boxes\.class_', 'boxes.cls_'),
    (r'boxes\.box_', 'boxes.bbox_'),
    (r'boxes\.conv_cls', 'boxes.cls_logits'),
    (r'boxes\.conv_box', 'boxes.bbox_pred'),
    (r'boxes\.conv_centerness', 'boxes.ctrness'),
    (r'^mask_head\.masks\.basis\.', 'basis_module.'),
    (r'^mask_head\.semantic\.convs\.0\.conv', 'basis_module.seg_head.0'),
    (r'^mask_head\.semantic\.convs\.0\.bn', 'basis_module.seg_head.1'),
    (r'^mask_head\.semantic\.convs\.1\.conv', 'basis_module.seg_head.3'),
    (r'^mask_head\.semantic\.convs\.1\.bn', 'basis_module.seg_head.4'),
    (r'^mask_head\.semantic\.conv_logits', 'basis_module.seg_head.6'),
    (r'^(basis_module\.(?:refine|tower)\.\d)\.conv', r'\1.0'),
    (r'^(basis_module\.(?:refine|tower)\.\d)\.bn', r'\1.1'),
    (r'^mask_head\.boxes\.', FCOS),
    (r'^mask_head\.coefficients\.conv', 'top_layer'),
    (r'^mask_head\.coefficients\.tower\.', FCOS + 'mask_tower.'),
    (r'^mask_head\.masks\.codec\.components', 'proposal_generator.mask_encoding.components'),
    (r'^mask_head\.masks\.codec\.mean', 'proposal_generator.mask_encoding.means'),
    (r'^mask_head\.masks\.codec\.explained_variance', 'proposal_generator.mask_encoding.explained_variances'),
]


def released(state):
    """The state dict under the authors' names, of the authors' shapes."""
    meinst = 'mask_head.masks.codec.mean' in state
    last = max((int(key.split('.')[4]) for key in state if '.basis.tower.' in key), default=None)
    result = {}
    for key, value in state.items():
        name = key.replace('coefficients.tower.', 'boxes.mask_tower.')
        for old, new in STEPS:
            name = re.sub(old, new, name)
        name = name.replace(f'basis_module.tower.{last}.', f'basis_module.tower.{last and last + 1}.')
        name = name.replace('basis_module.conv_bases.', f'basis_module.tower.{last and last + 2}.')
        if meinst:
            name = name.replace(FCOS, MEINST).replace('top_layer', MEINST + 'mask_pred')
        else:
            name = name.replace('_tower.9.conv.', '_tower.9.')
        result[name] = value.reshape(1) if name.endswith('.scale') else value
    assert len(result) == len(state)
    assert not any('mask_head' in name or 'neck' in name for name in result)
    return result | {
        'pixel_mean': torch.tensor([103.53, 116.28, 123.675]).view(3, 1, 1),
        'pixel_std': torch.ones(3, 1, 1),
    }
