"""DCT-Mask's masks (arXiv 2011.09876) on MEInst's detector: 300 cosine coefficients of 128 x 128, by an L1 loss.

Its release multiplies the sum over the 300 by 0.007; the mask loss here is their mean, so 0.007 · 300.
"""

_base_ = './meinst_r50_fpn_1x_coco.py'

model = dict(
    mask_head=dict(
        masks=dict(
            codec=dict(_delete_=True, type='DCTMaskCodec', mask_size=128, num_codes=300, whiten=False, sigmoid='none'),
            loss='l1',
        ),
        loss_mask_weight=2.1,
    )
)
