"""MEInst with the codes of DCT-Mask, learnt by L1: 300 cosine coefficients of masks of 128 x 128; no dictionary."""

_base_ = './meinst_r50_fpn_1x_coco.py'

model = dict(
    mask_head=dict(
        masks=dict(
            codec=dict(type='DCTMaskCodec', mask_size=128, num_codes=300, dictionary=None),
            loss='l1',
        ),
    ),
)
