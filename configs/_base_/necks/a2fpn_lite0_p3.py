"""A2-FPN-Lite from stride 8 on for `lite0_fpn.py`, for BlendMask and MEInst."""

_base_ = './a2fpn_lite0.py'

a2fpn = dict(
    start_level=1, lateral=dict(num_contexts=(36, 24, 12)), add_extra_convs='on_output', relu_before_extra_convs=True
)
