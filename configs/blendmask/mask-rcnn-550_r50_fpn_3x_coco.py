"""mmdet's Mask R-CNN at 550 pixels, with Detectron2's weights and learning rate (BlendMask, Table 9)."""

_base_ = ['mmdet::_base_/models/mask-rcnn_r50_fpn.py', '../_base_/coco_polygons_550_3x.py']

model = dict(
    data_preprocessor=dict(mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0], bgr_to_rgb=False),
    backbone=dict(
        norm_cfg=dict(requires_grad=False),
        style='caffe',
        init_cfg=dict(checkpoint='open-mmlab://detectron2/resnet50_caffe'),
    ),
)
optim_wrapper = dict(optimizer=dict(lr=0.02))
