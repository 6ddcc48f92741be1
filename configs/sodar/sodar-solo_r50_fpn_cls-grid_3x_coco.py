"""SODAR on SOLO with finer class grids ("+cls"): AggMask with deformable neighbour sampling."""

_base_ = '../aggmask/aggmask-solo_r50_fpn_cls-grid_3x_coco.py'

model = dict(mask_head=dict(aggregator=dict(offsets=dict(type='NeighbourOffsets', channels=256))))
