"""SOLO-512 (SOLO, Table 6): short side 512, 72 epochs."""

_base_ = ['../_base_/models/solo_r50_fpn.py', '../_base_/coco_512_3x.py']

train_cfg = dict(max_epochs=72)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=72, milestones=[54, 66])
