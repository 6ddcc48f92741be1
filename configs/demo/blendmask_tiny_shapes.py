"""A BlendMask on the same small backbone: FCOS on one level, four bases at stride 4, masks of 28 x 28."""

_base_ = './solo_tiny_shapes.py'

tower = dict(num_convs=3, norm_cfg=dict(type='BN'), init_std=None)

model = dict(
    type='SingleStageInstanceSegmentor',
    mask_head=dict(
        _delete_=True,
        type='BoxedMaskHead',
        boxes=dict(
            type='LocationHead',
            num_classes=5,
            in_channels=64,
            channels=64,
            strides=(8,),
            class_tower=tower,
            box_tower=tower,
            assigner=dict(type='LocationAssigner', ranges=((-1, 1e8),), radius=1.5),
            loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
            loss_box=dict(type='DistanceIoULoss', kind='giou'),
            loss_centerness=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0),
        ),
        masks=dict(
            type='BlendedMasks',
            basis=dict(type='ProtoNet', in_channels=64, levels=(0,), channels=64, num_convs=2, num_bases=4),
            stride=4,
            mask_size=28,
            attention_size=7,
        ),
        coefficients=dict(in_channels=64),
        semantic=dict(type='SemanticHead', num_classes=5, in_channels=64, channels=64),
    ),
    test_cfg=dict(_delete_=True, score_thr=0.05, nms_pre=200, max_per_img=50, mask_format='bitmap'),
)
