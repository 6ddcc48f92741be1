"""PAFPN with MGC, n_i = 64(i - 1) contexts of level i (A2-FPN, Table 4)."""

_base_ = './mask-rcnn_r50_pafpn-mgc_1x_coco.py'

model = dict(neck=dict(lateral=dict(num_contexts=(64, 128, 192, 256))))
