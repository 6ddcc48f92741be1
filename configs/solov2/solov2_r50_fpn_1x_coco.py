_base_ = ['../_base_/models/solov2_r50_fpn.py', '../_base_/coco_1x.py']
