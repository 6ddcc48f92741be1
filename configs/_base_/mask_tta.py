"""Test-time augmentation on COCO, as a second base of a config: the image and its mirror image at three sizes.

`tools/test.py --tta` reads it. Without it, the flag makes the same views from the config's own test pipeline.
"""

tta_model = dict(
    type='MaskTTAModel',
    nms=dict(type='MaskNMS', iou_thr=0.5),
    iou_thr=0.6,  # from here on masks are votes for each other
    weight='score',
    score='mean',
    max_per_img=100,
)
tta_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale=scale, keep_ratio=True) for scale in ((1333, 800), (1066, 640), (1600, 960))],
            [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)],
            [dict(type='LoadAnnotations', with_bbox=True, with_mask=True)],
            [
                dict(
                    type='PackDetInputs',
                    meta_keys=(
                        'img_id',
                        'img_path',
                        'ori_shape',
                        'img_shape',
                        'scale_factor',
                        'flip',
                        'flip_direction',
                    ),
                )
            ],
        ],
    ),
]
