"""SOLOv2 light: 2 layers of 256 channels, 128 mask features, short side 448."""

_base_ = ['../_base_/models/solov2_r50_fpn.py', '../_base_/coco_512_3x.py']

model = dict(
    mask_head=dict(
        class_tower=dict(channels=256, num_convs=2),
        mask_branch=dict(channels=256, num_convs=2, out_channels=128),
        assigner=dict(scale_ranges=((1, 56), (28, 112), (56, 224), (112, 448), (224, 896))),
    )
)

train_pipeline = _base_.train_pipeline
train_pipeline[2].scales = [(768, side) for side in range(512, 351, -32)]
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = (768, 448)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
