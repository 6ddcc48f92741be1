"""DeepLabV3+'s decoder of width 128 on P3 and P5 (BlendMask, Tables 4 to 7): 56_4_14, no semantic loss."""

_base_ = ['../_base_/models/blendmask_r50_fpn.py', '../_base_/coco_polygons_fcos_1x.py']

model = dict(
    mask_head=dict(
        masks=dict(
            basis=dict(
                _delete_=True,
                type='DeepLabDecoder',
                in_channels=(256, 256),
                levels=(0, 2),
                channels=128,
                num_bases=4,
            ),
            stride=8,
        ),
        semantic=None,
    ),
)
