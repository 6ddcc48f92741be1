"""ResNet-50, FPN from P3 to P7 and FCOS as in the authors' release; the masks are to be added."""

tower = dict(num_convs=4, bias=True, norm_cfg=dict(type='GN', num_groups=32))

model = dict(
    type='SingleStageInstanceSegmentor',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[103.53, 116.28, 123.675],
        std=[1.0, 1.0, 1.0],
        bgr_to_rgb=False,
        pad_mask=True,
        pad_size_divisor=32,
    ),
    backbone=dict(
        type='ResNet',
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        frozen_stages=1,
        norm_cfg=dict(type='BN', requires_grad=False),
        norm_eval=True,
        style='caffe',
        init_cfg=dict(type='Pretrained', checkpoint='open-mmlab://detectron2/resnet50_caffe'),
    ),
    neck=dict(
        type='FPN',
        in_channels=[256, 512, 1024, 2048],
        out_channels=256,
        start_level=1,
        add_extra_convs='on_output',
        relu_before_extra_convs=True,
        num_outs=5,
    ),
    mask_head=dict(
        type='BoxedMaskHead',
        boxes=dict(
            type='LocationHead',
            num_classes=80,
            in_channels=256,
            channels=256,
            strides=(8, 16, 32, 64, 128),
            class_tower=tower,
            box_tower=tower,
            use_scale=False,
            assigner=dict(
                type='LocationAssigner',
                ranges=((-1, 64), (64, 128), (128, 256), (256, 512), (512, 1e8)),
                radius=1.5,
            ),
            loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
            loss_box=dict(type='DistanceIoULoss', kind='giou', smooth=1.0, loss_weight=1.0),
            loss_centerness=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0),
        ),
    ),
    train_cfg=dict(max_positives=None),
    test_cfg=dict(
        score_thr=0.05,
        filter_by='score',
        nms_pre=1000,
        iou_thr=0.6,
        max_per_img=100,
        sqrt_score=True,
        clip_boxes=True,
        mask_thr=0.5,
        mask_format='bitmap',
    ),
)
