"""The small MEInst with codes of 60 numbers."""

_base_ = './meinst_tiny_shapes.py'

model = dict(mask_head=dict(masks=dict(codec=dict(num_codes=60))))
