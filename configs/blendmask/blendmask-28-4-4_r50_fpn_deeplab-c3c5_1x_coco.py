"""28_4_4 (BlendMask, Tables 1 to 3): DeepLabV3+'s decoder of width 128 on C3 and C5, no semantic loss."""

_base_ = ['../_base_/models/blendmask_r50_fpn.py', '../_base_/coco_polygons_fcos_1x.py']

model = dict(
    neck=dict(_delete_=True, type='BypassNeck', neck=_base_.model.neck, keep=(1, 3)),
    mask_head=dict(
        masks=dict(
            basis=dict(
                _delete_=True,
                type='DeepLabDecoder',
                in_channels=(512, 2048),
                levels=(5, 6),
                channels=128,
                num_bases=4,
            ),
            stride=8,
            mask_size=28,
            attention_size=4,
            top='nearest',
        ),
        semantic=None,
    ),
)
