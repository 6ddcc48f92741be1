"""A SOLO small enough to learn generated shapes from scratch on two CPU cores in minutes.

Half of a ResNet-18 without its last stage, one level at stride 8, 64 channels in the head, batch norm in its towers
(several levels would mix its statistics).
"""

_base_ = 'mmdet::_base_/default_runtime.py'

custom_imports = dict(imports=['mmagg.register'])

classes = ('circle', 'square', 'triangle', 'star', 'ring')
data_root = 'work_dirs/demo/shapes/'
size = (128, 128)

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
        num_classes=len(classes),
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
        mask_format='rle',
    ),
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='Resize', scale=size, keep_ratio=True),
    dict(type='RandomFlip', prob=0.5, direction=['horizontal', 'vertical']),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=size, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
dataset = dict(type='CocoDataset', data_root=data_root, metainfo=dict(classes=classes))
train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        **dataset,
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='images/train/'),
        filter_cfg=dict(filter_empty_gt=False),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        **dataset,
        ann_file='annotations/instances_val.json',
        data_prefix=dict(img='images/val/'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='CocoMetric', ann_file=data_root + 'annotations/instances_val.json', metric=['bbox', 'segm'])
test_evaluator = val_evaluator

max_epochs = 14
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=7)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=0.002, weight_decay=0.02),
    clip_grad=dict(max_norm=10, norm_type=2),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=50),
    dict(
        type='CosineAnnealingLR', by_epoch=True, begin=0, end=max_epochs, eta_min_ratio=0.01, convert_to_iter_based=True
    ),
]
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=1, max_keep_ckpts=1))
log_processor = dict(window_size=20)
randomness = dict(seed=0)
