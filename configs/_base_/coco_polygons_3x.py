"""As `coco_polygons_1x.py`, 270k iterations of 16 images, steps at 210k and 250k."""

_base_ = './coco_polygons_1x.py'

train_cfg = dict(max_epochs=37)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=37, milestones=[29, 34])
