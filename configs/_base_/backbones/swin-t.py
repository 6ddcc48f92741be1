"""Swin-T as MMDetection builds and trains it, as a second base; `lite0.py` shows how, the configs how it is trained.

A level that the neck leaves out must be left out here too: its norm would have no gradient.
"""

normalisation = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True)
backbone = dict(
    type='SwinTransformer',
    embed_dims=96,
    depths=[2, 2, 6, 2],
    num_heads=[3, 6, 12, 24],
    window_size=7,
    drop_path_rate=0.2,
    out_indices=(0, 1, 2, 3),
    convert_weights=True,
    init_cfg=dict(
        type='Pretrained',
        checkpoint='https://github.com/SwinTransformer/storage/releases/download/v1.0.0/swin_tiny_patch4_window7_224.pth',
    ),
)
in_channels = [96, 192, 384, 768]
optimiser = dict(type='AdamW', lr=0.0001, betas=(0.9, 0.999), weight_decay=0.05)
paramwise = dict(
    custom_keys={
        'absolute_pos_embed': dict(decay_mult=0.0),
        'relative_position_bias_table': dict(decay_mult=0.0),
        'norm': dict(decay_mult=0.0),
    }
)
