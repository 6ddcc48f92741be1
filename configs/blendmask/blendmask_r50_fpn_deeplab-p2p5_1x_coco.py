"""DeepLabV3+'s decoder of width 256 on P2 and P5, semantic loss, bases at stride 4 (BlendMask, Table 7, "+s/4")."""

_base_ = ['../_base_/models/blendmask_r50_fpn.py', '../_base_/coco_polygons_fcos_1x.py']

model = dict(
    neck=dict(start_level=0, num_outs=6),
    mask_head=dict(
        levels=(1, 2, 3, 4, 5),
        masks=dict(
            basis=dict(
                _delete_=True,
                type='DeepLabDecoder',
                in_channels=(256, 256),
                levels=(0, 3),
                channels=256,
                num_bases=4,
            ),
        ),
        semantic=dict(level=1),
    ),
)
