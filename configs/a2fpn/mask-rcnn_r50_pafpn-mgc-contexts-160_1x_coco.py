"""PAFPN with MGC, n_i = 160 contexts of each level (A2-FPN, Table 4)."""

_base_ = './mask-rcnn_r50_pafpn-mgc_1x_coco.py'

model = dict(neck=dict(lateral=dict(num_contexts=(160, 160, 160, 160))))
