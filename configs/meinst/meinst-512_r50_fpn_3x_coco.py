"""Short side 384 to 544, tested at 512 (in the authors' release, not in the paper)."""

_base_ = './meinst_r50_fpn_3x_coco.py'

train_pipeline = _base_.train_pipeline
train_pipeline[2].scales = [(1333, side) for side in range(384, 545, 32)]
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = (1333, 512)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
