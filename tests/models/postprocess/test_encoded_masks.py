"""RLE from whole models of mmdet, against their bitmaps."""

from copy import deepcopy

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from slim_configs import few_classes, slim
from test_image_masks import SIZES, meta
from torch import nn

from mmagg.apis.config import load_config
from mmagg.models.postprocess import encode_masks
from mmagg.ops import rle_to_masks

NAMES = [
    'mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
    'condinst/condinst_r50_fpn_ms-poly-90k_coco_instance.py',
    'boxinst/boxinst_r50_fpn_ms-90k_coco.py',
    'rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py',
]


@pytest.mark.parametrize('name', NAMES)
def test_a_model_predicts_the_same(name: str) -> None:
    cfg = load_config(f'mmdet::{name}', {'model.backbone.init_cfg': None, 'model.test_cfg.score_thr': 0.0})
    if 'rtmdet' not in name:
        slim(cfg.model)
    few_classes(cfg.model)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).eval()
    head = getattr(model, 'bbox_head', None)
    for layer in getattr(head, 'rtm_reg', ()):
        nn.init.constant_(layer.bias, 3.0)  # boxes with an inside
    for layer in getattr(head, 'rtm_kernel', ()):
        nn.init.normal_(
            layer.weight, std=100
        )  # the sigmoid of a logit of 1e-8 is 0.5, which is not above the threshold
    samples = [
        DetDataSample(metainfo=dict(meta(*sizes), batch_input_shape=(96, 128), pad_shape=(96, 128))) for sizes in SIZES
    ]
    images = torch.randn(len(SIZES), 3, 96, 128)
    with torch.no_grad():
        want = [x.pred_instances for x in model(images, deepcopy(samples), mode='predict')]
        encode_masks(model)
        found = [x.pred_instances for x in model(images, deepcopy(samples), mode='predict')]
    assert sum(map(len, want)) > 0
    for ours, theirs in zip(found, want, strict=True):
        assert torch.equal(ours.bboxes, theirs.bboxes)
        assert torch.equal(ours.scores, theirs.scores)
        assert torch.equal(rle_to_masks(ours.masks, *theirs.masks.shape[1:]), theirs.masks)
