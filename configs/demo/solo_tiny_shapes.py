"""A SOLO small enough to learn generated shapes from scratch on two CPU cores in minutes.

Half of a ResNet-18 without its last stage, one level at stride 8, 64 channels in the head, batch norm in its towers
(several levels would mix its statistics).
"""

_base_ = '../_base_/tiny_shapes.py'

model = dict(
    type='SOLO',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[128.0, 128.0, 128.0],
        std=[64.0, 64.0, 64.0],
        bgr_to_rgb=True,
        pad_mask=True,
        pad_size_divisor=32,
    ),
    backbone=dict(
        type='ResNet',
        depth=18,
        stem_channels=32,
        base_channels=32,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(1, 2),
        frozen_stages=-1,
        norm_eval=False,
        zero_init_residual=False,
        style='pytorch',
    ),
    neck=dict(type='MergedLevel', in_channels=[64, 128], out_channels=64),
    mask_head=dict(
        type='GridMaskHead',
        num_classes=5,
        in_channels=64,
        feature_strides=(8,),
        strides=(8,),
        grids=(10,),
        class_tower=dict(channels=64, num_convs=3, norm_cfg=dict(type='BN'), init_std=None),
        mask_branch=dict(
            type='StaticMaskBranch',
            channels=64,
            num_convs=4,
            norm_cfg=dict(type='BN'),
            init_std=None,
            map_init_std=None,
        ),
        assigner=dict(type='GridCellAssigner', scale_ranges=((1, 2048),), centre_scale=0.4),
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_mask=dict(type='DiceLoss', use_sigmoid=True, loss_weight=3.0),
    ),
    train_cfg=dict(max_positives=None),
    test_cfg=dict(
        score_thr=0.1,
        mask_thr=0.5,
        nms_pre=200,
        nms=dict(type='MatrixNMS', kernel='gaussian', sigma=2.0),
        filter_thr=0.05,
        max_per_img=50,
        mask_format='bitmap',
    ),
)
