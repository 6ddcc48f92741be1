_base_ = './meinst_x101-32x8d_fpn_3x_coco.py'

model = dict(
    mask_head=dict(
        boxes=dict(class_tower=dict(dcn_cfg=None), box_tower=dict(dcn_cfg=None)),
        coefficients=dict(tower=dict(dcn_cfg=None)),
    )
)
