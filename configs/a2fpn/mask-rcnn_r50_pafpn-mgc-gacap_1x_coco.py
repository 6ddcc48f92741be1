"""PAFPN with MGC and GACAP (A2-FPN, Table 2)."""

_base_ = './mask-rcnn_r50_pafpn_1x_coco.py'

model = dict(
    neck=dict(
        lateral=dict(_delete_=True, type='MultiLevelGlobalContext'),
        bottom_up=dict(_delete_=True, type='GACAP'),
    ),
)
