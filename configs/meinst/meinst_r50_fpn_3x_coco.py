"""270k iterations of 16 images, steps at 180k and 240k."""

_base_ = ['../_base_/models/meinst_r50_fpn.py', '../_base_/coco_polygons_3x.py']

param_scheduler = _base_.param_scheduler
param_scheduler[1].milestones = [25, 33]
