"""QueryInst with the first four levels of A2-FPN, so without F6 (not in the paper)."""

_base_ = ['mmdet::queryinst/queryinst_r50_fpn_1x_coco.py', '../_base_/necks/a2fpn.py']

custom_imports = dict(imports=['mmagg.register'])

model = dict(neck=dict(_delete_=True, **_base_.a2fpn, joint_level=False, num_outs=4))

val_evaluator = dict(
    _delete_=True,
    type='COCOInstanceMetric',
    ann_file='data/coco/annotations/instances_val2017.json',
    metric=['bbox', 'segm'],
)
test_evaluator = val_evaluator
