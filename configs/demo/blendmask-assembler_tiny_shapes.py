"""The small BlendMask without attention: one base for each cell of a 4 x 4 grid, as in FCIS (BlendMask, Table 1)."""

_base_ = './blendmask_tiny_shapes.py'

model = dict(
    mask_head=dict(masks=dict(merger='assemble', attention_size=4, basis=dict(num_bases=16)), coefficients=None)
)
