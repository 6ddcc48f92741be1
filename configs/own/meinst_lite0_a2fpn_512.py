"""As `meinst_lite0_fpn_512.py`, with A2-FPN-Lite."""

_base_ = ['./meinst_lite0_fpn_512.py', '../_base_/necks/a2fpn_lite0_p3.py']

model = dict(neck=dict(_delete_=True, **_base_.a2fpn))
