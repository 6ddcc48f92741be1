"""BlendMask on EfficientNet-Lite0: FCOS with towers of three convolutions, and bases from strides 8 to 32."""

_base_ = './lite0_fpn.py'

tower = dict(num_convs=3, norm_cfg=dict(type='GN', num_groups=16))
model = dict(
    type='SingleStageInstanceSegmentor',
    neck=dict(start_level=1, add_extra_convs='on_output'),
    mask_head=dict(
        type='BoxedMaskHead',
        boxes=dict(
            type='LocationHead',
            num_classes=80,
            in_channels=96,
            channels=96,
            strides=(8, 16, 32, 64),
            class_tower=tower,
            box_tower=tower,
            assigner=dict(type='LocationAssigner', ranges=((-1, 48), (48, 96), (96, 192), (192, 1e8)), radius=1.5),
            loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
            loss_box=dict(type='DistanceIoULoss', kind='giou', loss_weight=1.0),
            loss_centerness=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0),
        ),
        masks=dict(
            type='BlendedMasks',
            basis=dict(type='ProtoNet', in_channels=96, levels=(0, 1, 2), channels=64, num_convs=3, num_bases=4),
            stride=4,
            mask_size=56,
            attention_size=14,
        ),
        coefficients=dict(in_channels=96),
        semantic=dict(type='SemanticHead', num_classes=80, in_channels=96, channels=64, loss_weight=0.3),
    ),
    train_cfg=dict(max_positives=400),  # bounds the memory of images with many objects
    test_cfg=dict(score_thr=0.05, nms_pre=1000, iou_thr=0.6, max_per_img=100, mask_format='bitmap'),
)
