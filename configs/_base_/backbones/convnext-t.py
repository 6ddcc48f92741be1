"""ConvNeXt-T of mmpretrain (`pip install mmpretrain`) as MMDetection builds it, as a second base: see `swin-t.py`."""

# Where it is absent, the file can be read all the same; what is to be built is refused by mmagg in a line.
imports = dict(imports=['mmagg.register', 'mmpretrain.models'], allow_failed_imports=True)

normalisation = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True)
backbone = dict(
    type='mmpretrain.ConvNeXt',
    arch='tiny',
    out_indices=[0, 1, 2, 3],
    drop_path_rate=0.4,
    layer_scale_init_value=1.0,
    gap_before_final_norm=False,
    init_cfg=dict(
        type='Pretrained',
        checkpoint='https://download.openmmlab.com/mmclassification/v0/convnext/downstream/convnext-tiny_3rdparty_32xb128-noema_in1k_20220301-795e9634.pth',
        prefix='backbone.',
    ),
)
in_channels = [96, 192, 384, 768]
optimiser = dict(type='AdamW', lr=0.0001, betas=(0.9, 0.999), weight_decay=0.05)
paramwise = dict(decay_rate=0.95, decay_type='layer_wise', num_layers=6)
