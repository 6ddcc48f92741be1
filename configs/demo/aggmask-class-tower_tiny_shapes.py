"""The demo's AggMask with parameters from the class tower, as the release has it on SOLO."""

_base_ = './aggmask_tiny_shapes.py'

model = dict(mask_head=dict(aggregator=dict(parameters=dict(features='class_tower', tower=None))))
