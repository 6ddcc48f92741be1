"""SOLO on EfficientNet-Lite0, with grids and ranges for images of 320 pixels.

Weights begin as large as He has them: from the release's small ones (`init_std=0.01`), which suit its hundred thousand
steps, AggMask on it had not begun to learn the masks of fourteen photographs after 240.
"""

_base_ = './lite0_fpn.py'

norm = dict(type='GN', num_groups=16)
model = dict(
    type='SOLO',
    mask_head=dict(
        type='GridMaskHead',
        num_classes=80,
        in_channels=96,
        feature_strides=(4, 8, 16, 32),
        strides=(8, 8, 16, 32),
        grids=(36, 24, 16, 8),
        class_tower=dict(channels=96, num_convs=3, norm_cfg=norm, init_std=None),
        mask_branch=dict(
            type='StaticMaskBranch', channels=96, num_convs=3, norm_cfg=norm, init_std=None, map_init_std=None
        ),
        assigner=dict(
            type='GridCellAssigner', scale_ranges=((1, 48), (24, 96), (48, 192), (96, 2048)), centre_scale=0.3
        ),
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_mask=dict(type='DiceLoss', use_sigmoid=True, loss_weight=3.0),
    ),
    train_cfg=dict(max_positives=None),
    test_cfg=dict(
        score_thr=0.1,
        mask_thr=0.5,
        nms_pre=500,
        nms=dict(type='MatrixNMS', kernel='gaussian', sigma=2.0),
        filter_thr=0.05,
        max_per_img=100,
        mask_format='bitmap',
    ),
)
