"""The reference cases of AggMask as heads, features and samples."""

from pathlib import Path

import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData

from mmagg import register  # noqa: F401
from mmagg.weights.key_maps import released_to_mmagg


def read_case(shared: Path, name: str) -> dict:
    return torch.load(shared / 'golden/aggmask' / f'{name}.pt', weights_only=True)


def neighbours(cfg: dict) -> str:
    """Our pattern for the release's switches."""
    number = cfg['mask_interp_neighbor']
    if number == 4:
        equal = any(a == b for a, b in zip(cfg['cls_grid_number'], cfg['mask_grid_number'], strict=True))
        return '4' if equal or cfg.get('interpolation_mode') == 5 else 'corners'
    return {0: 'none', 1: 'self', 9: '8'}[number]


def head_config(case: dict) -> dict:
    """Our config for the release's constructor arguments."""
    cfg = case['cfg']
    channels, groups = cfg['seg_feat_channels'], case['gn_groups']
    tower = dict(num_convs=cfg['stacked_convs'], norm_cfg=dict(type='GN', num_groups=groups))
    on_solov2 = case['name'].startswith('star')
    branch = dict(grids=cfg['mask_grid_number'], channels=channels, **tower)
    if on_solov2:
        branch |= dict(
            type='DynamicMaskBranch',
            feature_channels=channels,
            out_channels=channels,
            feature_branch_norm=False,
            kernel_size=1,
        )
    else:
        branch |= dict(type='StaticMaskBranch')
    own_tower = on_solov2 and cfg.get('sep_comb_lw_branch', True)
    parameters = dict(
        type='DynamicParameters',
        in_channels=cfg['in_channels'],
        channels=channels,
        kernel_size=int(cfg.get('lw_kernel', '3x3')[0]),
        activation='none' if on_solov2 else cfg.get('learned_weight_activation', 'tanh') or 'none',
        features='own_tower' if own_tower else 'mask_tower' if on_solov2 else 'class_tower',
        tower=tower if own_tower else None,
    )
    context = None
    if cfg['context_feature_channel']:
        context = dict(
            type='MultiLevelContext',
            in_channels=cfg['in_channels'],
            channels=cfg['context_feature_channel'],
            hidden_channels=cfg['in_channels'] if cfg['context_agg_layer'] == 2 else None,
            num_groups=groups,
        )
    test_cfg = case['test_cfg']
    return dict(
        type='GridMaskHead',
        num_classes=cfg['num_classes'] - 1,
        in_channels=cfg['in_channels'],
        strides=cfg['strides'],
        grids=cfg['cls_grid_number'],
        class_tower=dict(channels=channels, **tower),
        mask_branch=branch,
        assigner=dict(type='GridCellAssigner', scale_ranges=cfg['scale_ranges'], centre_scale=cfg['sigma']),
        aggregator=dict(
            type='DynamicAggregator',
            neighbours=neighbours(cfg),
            context=context,
            parameters=parameters,
            channels=cfg['conv_intermediate_channel_number_for_comb'],
            num_layers=cfg['conv_layer_for_comb'],
            kernel_size=cfg['conv_kernel_for_comb'],
            mask_activation=cfg.get('s2_maskactivation', 'none'),
        ),
        loss_cls=cfg['loss_cate'],
        loss_mask=cfg['loss_ins'],
        test_cfg=dict(
            score_thr=0.1,
            mask_thr=test_cfg['mask_thr'],
            nms_pre=test_cfg['nms_pre'],
            filter_thr=test_cfg['update_thr'],
            max_per_img=test_cfg['max_per_img'],
            nms=dict(type='MatrixNMS', kernel=test_cfg['kernel'], sigma=test_cfg['sigma']),
        ),
    )


def build_head(case: dict):
    """Our head with the release's weights."""
    head = MODELS.build(head_config(case))
    state = {key: value.float() for key, value in case['state'].items()}
    head.load_state_dict(released_to_mmagg(state), strict=True)
    return head


def feature_maps(case: dict) -> list[torch.Tensor]:
    return [x.float() for x in case['feats']]


def data_samples(case: dict) -> list[DetDataSample]:
    samples = []
    for gt, meta in zip(case['gt'], case['metas'], strict=True):
        shape = gt['mask_shape']
        masks = np.unpackbits(gt['masks'].numpy(), count=int(np.prod(shape))).reshape(shape)
        instances = InstanceData(
            bboxes=gt['bboxes'].float(), labels=gt['labels'] - 1, masks=BitmapMasks(masks, *shape[1:])
        )
        metainfo = dict(
            img_shape=tuple(meta['img_shape'][:2]),
            ori_shape=tuple(meta['ori_shape'][:2]),
            batch_input_shape=tuple(meta['pad_shape'][:2]),
        )
        samples.append(DetDataSample(metainfo=metainfo, gt_instances=instances))
    return samples


def parameters_at(head, levels, class_feats, sources, level: int) -> torch.Tensor:
    """(B, P, S, S) parameters of all cells of a level."""
    grid = head.grids[level]
    predicted = head.aggregator.parameter_branch(levels, class_feats, sources)[level]
    images = range(len(levels[0]))
    return torch.stack([predicted.at(i, torch.arange(grid**2)).t().unflatten(1, (grid, grid)) for i in images])
