"""A2-FPN for a ResNet from C2 on, as a second base of a config, and the hook that adds its orthogonal loss.

    model = dict(neck=dict(_delete_=True, **_base_.a2fpn))

Its parts are the defaults; they are named here so that `--cfg-options model.neck.top_down.gain=1` finds them.
"""

a2fpn = dict(
    type='A2FPN',
    in_channels=[256, 512, 1024, 2048],
    out_channels=256,
    lateral=dict(type='MultiLevelGlobalContext'),
    top_down=dict(type='GACARAFE'),
    bottom_up=dict(type='GACAP'),
)

custom_hooks = [dict(type='AuxiliaryLossHook')]
