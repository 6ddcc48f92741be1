"""As `coco_polygons_3x.py`, short side 440 to 550 (BlendMask, Table 9)."""

_base_ = './coco_polygons_3x.py'

train_pipeline = _base_.train_pipeline
train_pipeline[2].scales = [(916, side) for side in range(440, 551, 22)]
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = (916, 550)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
