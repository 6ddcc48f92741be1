"""The small BlendMask with one weight per base instead of attention maps, as in YOLACT (BlendMask, Table 1)."""

_base_ = './blendmask_tiny_shapes.py'

model = dict(mask_head=dict(masks=dict(attention_size=1)))
