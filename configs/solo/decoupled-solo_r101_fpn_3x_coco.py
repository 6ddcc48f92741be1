_base_ = './solo_r101_fpn_3x_coco.py'

model = dict(mask_head=dict(mask_branch=dict(type='DecoupledMaskBranch')))
