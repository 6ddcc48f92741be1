"""A MEInst on the same small backbone: FCOS on one level, codes of 40 numbers for masks of 28 x 28.

Its dictionary is fitted first:
python tools/analysis/fit_mask_codec.py --coco work_dirs/demo/shapes --out work_dirs/demo/shapes/mask_codec.npz
"""

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
            use_scale=True,
            assigner=dict(type='LocationAssigner', ranges=((-1, 1e8),), radius=1.5),
            loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
            loss_box=dict(type='DistanceIoULoss', kind='giou'),
            loss_centerness=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0),
        ),
        masks=dict(
            type='CodedMasks',
            codec=dict(
                type='PCAMaskCodec',
                mask_size=28,
                num_codes=40,
                dictionary='work_dirs/demo/shapes/mask_codec.npz',
            ),
        ),
        coefficients=dict(in_channels=64, channels=64, tower=tower),
    ),
    test_cfg=dict(_delete_=True, score_thr=0.05, filter_by='class', nms_pre=200, max_per_img=50, mask_format='rle'),
)
