"""The small models for data of one's own begin to learn masks at once: few images make few steps."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

OWN = Path(__file__).resolve().parents[1] / 'configs' / 'own'
SIZE, STEPS = 128, 24


@pytest.mark.parametrize('method', ['aggmask-solo', 'aggmask-solov2', 'solov2', 'blendmask'])
def test_masks_of_one_image_are_learnt_in_a_few_steps(method: str) -> None:
    cfg = Config.fromfile(OWN / f'{method}_lite0_fpn_320.py')
    init_default_scope('mmdet')
    cfg.model.backbone.init_cfg = None
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    images, samples = scene()
    optimiser = torch.optim.AdamW(model.parameters(), lr=cfg.optim_wrapper.optimizer.lr)
    warm_up = cfg.param_scheduler[0]
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, warm_up.start_factor, total_iters=warm_up.end)
    losses = []
    for _ in range(STEPS):
        found = model.train().loss(images, samples)
        total, _ = model.parse_losses(found)
        optimiser.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10)
        optimiser.step()
        schedule.step()
        losses.append(found['loss_mask'].item())
    assert losses[-1] < 0.5 * losses[0]


def scene() -> tuple[torch.Tensor, list[DetDataSample]]:
    """An image, twice, of three rectangles, which have colours of their own."""
    boxes = torch.tensor([[20, 10, 60, 50], [10, 70, 40, 110], [70, 60, 120, 120]])
    masks = np.zeros((3, SIZE, SIZE), np.uint8)
    image = 0.3 * torch.randn(3, SIZE, SIZE)
    for place, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
        masks[place, y1:y2, x1:x2] = 1
        image[place, y1:y2, x1:x2] += 1
    shapes = ('img_shape', 'ori_shape', 'pad_shape', 'batch_input_shape')
    sample = DetDataSample(
        metainfo=dict.fromkeys(shapes, (SIZE, SIZE)) | {'scale_factor': (1, 1)},
        gt_instances=InstanceData(bboxes=boxes.float(), labels=torch.arange(3), masks=BitmapMasks(masks, SIZE, SIZE)),
    )
    return torch.stack([image, image]), [sample, sample]
