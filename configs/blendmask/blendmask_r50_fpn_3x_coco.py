_base_ = ['../_base_/models/blendmask_r50_fpn.py', '../_base_/coco_polygons_3x.py']
