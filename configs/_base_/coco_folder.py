"""A folder in COCO format, for small models: all but the pipeline and the schedule of training."""

_base_ = 'mmdet::_base_/default_runtime.py'

custom_imports = dict(imports=['mmagg.register'])

data_root = 'data/mine/'
size = (533, 320)  # the longer and the shorter side, at most

test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=size, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='ThreeChannels'),  # mmdet's DetInferencer is given grey arrays
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
dataset = dict(type='CocoDataset', data_root=data_root)
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        **dataset,
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='images/train/'),
        filter_cfg=dict(filter_empty_gt=False),
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
val_evaluator = dict(
    type='COCOInstanceMetric', ann_file=data_root + 'annotations/instances_val.json', metric=['bbox', 'segm']
)
test_evaluator = val_evaluator
visualizer = dict(type='RLEVisualizer')

val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
log_processor = dict(window_size=20)
