_base_ = ['../_base_/models/solo_r50_fpn.py', '../_base_/coco_1x.py']
