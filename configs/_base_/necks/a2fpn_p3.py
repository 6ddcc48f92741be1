"""A2-FPN from P3 to P7, for the heads of FCOS, RetinaNet, BlendMask and MEInst: the Lite form, from C3 on."""

_base_ = './a2fpn.py'

a2fpn = dict(
    num_outs=5,
    start_level=1,
    lateral=dict(channels=128, num_contexts=(96, 64, 32)),
    joint_level=False,
    finest_conv=False,
    add_extra_convs='on_output',
    relu_before_extra_convs=True,
)
