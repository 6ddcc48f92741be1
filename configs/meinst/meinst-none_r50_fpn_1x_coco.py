"""Without deformable convolutions (MEInst, Table 5, first row)."""

_base_ = './meinst_r50_fpn_1x_coco.py'

model = dict(
    mask_head=dict(
        boxes=dict(class_tower=dict(dcn_cfg=None), box_tower=dict(dcn_cfg=None)),
        coefficients=dict(tower=dict(dcn_cfg=None)),
    )
)
