"""MEInst on EfficientNet-Lite0 and a narrow FPN, at 512 pixels."""

_base_ = ['../_base_/models/meinst_lite0_fpn.py', '../_base_/own_512.py']

model = dict(mask_head=dict(boxes=dict(assigner=dict(ranges=((-1, 64), (64, 128), (128, 256), (256, 1e8))))))
