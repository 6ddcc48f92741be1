"""AggMask on SOLOv2 on EfficientNet-Lite0 and a narrow FPN, at 512 pixels."""

_base_ = ['../_base_/models/solov2_lite0_fpn.py', '../_base_/models/aggmask-solov2_lite0.py', '../_base_/own_512.py']

model = dict(
    mask_head=dict(
        assigner=dict(scale_ranges=((1, 77), (38, 154), (77, 307), (154, 2048))), aggregator=_base_.aggregator
    )
)
