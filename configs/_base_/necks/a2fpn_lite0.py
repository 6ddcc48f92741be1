"""A2-FPN-Lite for `lite0_fpn.py`: the proportions of channels and contexts are those of the paper's (Sec. 4.3)."""

_base_ = './a2fpn.py'

a2fpn = dict(
    in_channels=[24, 40, 112, 320],
    out_channels=96,
    num_outs=4,
    lateral=dict(channels=48, num_contexts=(24, 36, 24, 12)),
    joint_level=False,
    finest_conv=False,
)
