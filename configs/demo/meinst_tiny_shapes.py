"""A MEInst on the same small backbone and FCOS: codes of 40 numbers for masks of 28 x 28.

Its dictionary is fitted first:
python tools/analysis/fit_mask_codec.py --coco work_dirs/demo/shapes --out work_dirs/demo/shapes/mask_codec.npz
"""

_base_ = './blendmask_tiny_shapes.py'

tower = dict(num_convs=3, norm_cfg=dict(type='BN'), init_std=None)

model = dict(
    mask_head=dict(
        boxes=dict(use_scale=True),
        masks=dict(
            _delete_=True,
            type='CodedMasks',
            codec=dict(
                type='PCAMaskCodec',
                mask_size=28,
                num_codes=40,
                dictionary='work_dirs/demo/shapes/mask_codec.npz',
            ),
        ),
        coefficients=dict(in_channels=64, channels=64, tower=tower),
        semantic=None,
    ),
    test_cfg=dict(filter_by='class'),
)
