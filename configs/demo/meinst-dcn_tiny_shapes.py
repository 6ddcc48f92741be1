"""The small MEInst with a deformable convolution at the end of each tower, as in the paper's larger models."""

_base_ = './meinst_tiny_shapes.py'

deformable = dict(dcn_cfg=dict(type='DCN'), dcn_layers='last', offset_std=0.01)

model = dict(
    mask_head=dict(
        boxes=dict(class_tower=deformable, box_tower=deformable),
        coefficients=dict(tower=deformable),
    )
)
