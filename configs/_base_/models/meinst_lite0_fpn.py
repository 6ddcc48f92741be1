"""MEInst on EfficientNet-Lite0: as BlendMask, with a tower for codes of 40 numbers in the place of bases.

A dictionary of the masks of one's own objects is fitted first:
python tools/analysis/fit_mask_codec.py --coco mine --dims 40 --out mine/mask_codec.npz
"""

_base_ = './blendmask_lite0_fpn.py'

model = dict(
    mask_head=dict(
        boxes=dict(use_scale=True),
        masks=dict(
            _delete_=True,
            type='CodedMasks',
            codec=dict(type='PCAMaskCodec', mask_size=28, num_codes=40, dictionary='mine/mask_codec.npz'),
        ),
        coefficients=dict(channels=96, tower=_base_.tower),
        semantic=None,
    ),
    test_cfg=dict(filter_by='class'),
)
