"""As `aggmask-solo_lite0_fpn_320.py`, with A2-FPN-Lite."""

_base_ = ['./aggmask-solo_lite0_fpn_320.py', '../_base_/necks/a2fpn_lite0.py']

model = dict(neck=dict(_delete_=True, **_base_.a2fpn))
