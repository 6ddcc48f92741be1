"""SODAR on Decoupled SOLO: AggMask with deformable neighbour sampling."""

_base_ = '../aggmask/aggmask-decoupled-solo_r50_fpn_3x_coco.py'

model = dict(mask_head=dict(aggregator=dict(offsets=dict(type='NeighbourOffsets', channels=256))))
