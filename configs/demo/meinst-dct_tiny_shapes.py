"""The small MEInst with DCT-Mask's masks: 300 cosine coefficients of 128 x 128, by an L1 loss; no dictionary."""

_base_ = './meinst_tiny_shapes.py'

model = dict(
    mask_head=dict(
        masks=dict(
            codec=dict(_delete_=True, type='DCTMaskCodec', mask_size=128, num_codes=300, whiten=False, sigmoid='none'),
            loss='l1',
        ),
        loss_mask_weight=2.1,
    )
)
