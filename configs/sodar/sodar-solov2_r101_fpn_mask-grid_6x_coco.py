"""SODAR on SOLOv2 with coarser mask grids ("-mask"): AggMask with deformable neighbour sampling."""

_base_ = '../aggmask/aggmask-solov2_r101_fpn_mask-grid_6x_coco.py'

model = dict(mask_head=dict(aggregator=dict(offsets=dict(type='NeighbourOffsets', channels=256))))
