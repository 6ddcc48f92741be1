"""SODAR on generated shapes: `aggmask_tiny_shapes.py` with deformable neighbour sampling."""

_base_ = './aggmask_tiny_shapes.py'

model = dict(mask_head=dict(aggregator=dict(offsets=dict(type='NeighbourOffsets', channels=64))))
