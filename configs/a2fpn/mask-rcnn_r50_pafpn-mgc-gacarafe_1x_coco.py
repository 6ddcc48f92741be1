"""PAFPN with MGC and GACARAFE (A2-FPN, Table 2)."""

_base_ = './mask-rcnn_r50_pafpn_1x_coco.py'

model = dict(
    neck=dict(
        lateral=dict(_delete_=True, type='MultiLevelGlobalContext'),
        top_down=dict(_delete_=True, type='GACARAFE'),
    ),
)
