"""ConvNeXt-T of timm (`pip install mmagg[timm]`), as a second base: see `swin-t.py`."""

normalisation = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True)
backbone = dict(
    type='TimmFeatures',
    name='convnext_tiny.fb_in1k',
    pretrained=True,
    out_indices=(0, 1, 2, 3),
    model_kwargs=dict(drop_path_rate=0.4),
)
in_channels = [96, 192, 384, 768]
optimiser = dict(type='AdamW', lr=0.0001, betas=(0.9, 0.999), weight_decay=0.05)
paramwise = dict(norm_decay_mult=0.0)
