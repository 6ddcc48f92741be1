"""MEInst: FCOS and a tower for codes of 60 numbers; the last convolution of each tower is deformable."""

_base_ = './fcos_mask_r50_fpn.py'

deformable = dict(dcn_cfg=dict(type='DCN'), dcn_layers='last', offset_std=0.01)

model = dict(
    mask_head=dict(
        boxes=dict(use_scale=True, class_tower=deformable, box_tower=deformable),
        coefficients=dict(
            in_channels=256,
            tower=dict(num_convs=4, bias=True, norm_cfg=dict(type='GN', num_groups=32), **deformable),
        ),
        masks=dict(
            type='CodedMasks',
            codec=dict(
                type='PCAMaskCodec',
                mask_size=28,
                num_codes=60,
                dictionary='data/coco/meinst_28_60.npz',
            ),
            loss='l2',
        ),
    ),
    test_cfg=dict(filter_by='class'),
)
