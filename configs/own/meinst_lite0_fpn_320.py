"""MEInst on EfficientNet-Lite0 and a narrow FPN, at 320 pixels."""

_base_ = ['../_base_/models/meinst_lite0_fpn.py', '../_base_/own_320.py']
