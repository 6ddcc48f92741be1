"""The paper's Proto-FPN, with two convolutions after the sum of the levels, in its schedule (BlendMask, Table 7)."""

_base_ = ['../_base_/models/blendmask_r50_fpn.py', '../_base_/coco_polygons_fcos_1x.py']

model = dict(mask_head=dict(masks=dict(basis=dict(num_convs=2))))
