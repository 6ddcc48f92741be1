"""A2-FPN in Cascade Mask R-CNN (A2-FPN, Table 1)."""

_base_ = 'mmdet::cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py'

custom_imports = dict(imports=['mmagg.register'])
custom_hooks = [dict(type='AuxiliaryLossHook')]

model = dict(
    data_preprocessor=dict(pad_size_divisor=64),
    neck=dict(
        _delete_=True,
        type='A2FPN',
        in_channels=[256, 512, 1024, 2048],
        out_channels=256,
        lateral=dict(type='MultiLevelGlobalContext'),
        top_down=dict(type='GACARAFE'),
        bottom_up=dict(type='GACAP'),
    ),
)

optim_wrapper = dict(optimizer=dict(lr=0.01))
auto_scale_lr = dict(base_batch_size=8)

val_evaluator = dict(
    _delete_=True,
    type='COCOInstanceMetric',
    ann_file='data/coco/annotations/instances_val2017.json',
    metric=['bbox', 'segm'],
)
test_evaluator = val_evaluator
