"""BlendMask with A2-FPN on P3 to P7 (not in either paper)."""

_base_ = ['./blendmask_r50_fpn_3x_coco.py', '../_base_/necks/a2fpn_p3.py']

model = dict(neck=dict(_delete_=True, **_base_.a2fpn))
