"""MobileNetV3-Large of timm (`pip install mmagg[timm]`), as a second base: see `lite0.py`."""

normalisation = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True)
backbone = dict(
    type='TimmFeatures',
    name='mobilenetv3_large_100.ra_in1k',
    pretrained=True,
    out_indices=(0, 1, 2, 3),
    frozen_stages=1,
    norm_eval=True,
)
in_channels = [24, 40, 112, 960]
