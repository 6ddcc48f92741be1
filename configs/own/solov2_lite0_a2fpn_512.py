"""As `solov2_lite0_fpn_512.py`, with A2-FPN-Lite."""

_base_ = ['./solov2_lite0_fpn_512.py', '../_base_/necks/a2fpn_lite0.py']

model = dict(neck=dict(_delete_=True, **_base_.a2fpn))
