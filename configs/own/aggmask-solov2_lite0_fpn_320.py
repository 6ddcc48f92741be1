"""AggMask on SOLOv2 on EfficientNet-Lite0 and a narrow FPN, at 320 pixels."""

_base_ = ['../_base_/models/solov2_lite0_fpn.py', '../_base_/models/aggmask-solov2_lite0.py', '../_base_/own_320.py']

model = dict(mask_head=dict(aggregator=_base_.aggregator))
