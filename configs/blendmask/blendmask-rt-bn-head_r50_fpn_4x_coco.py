"""BlendMask-RT whose tower has a batch normalisation for each level, which inference can do without."""

_base_ = './blendmask-rt_r50_fpn_4x_coco.py'

model = dict(
    mask_head=dict(
        boxes=dict(shared_tower=dict(_delete_=True, num_convs=3, num_levels=3, norm_cfg=dict(type='SyncBN')))
    )
)
