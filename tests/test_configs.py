"""Every config builds, runs forward and makes one training step."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData, PixelData
from slim_configs import few_classes, slim

from mmagg.apis.config import load_config
from mmagg.io.errors import InputError
from mmagg.models.masks import assume_dictionaries

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted(p for p in (ROOT / 'configs').rglob('*.py') if '_base_' not in p.parts)
METAFILES = [yaml.safe_load(path.read_text()) for path in (ROOT / 'configs').glob('*/metafile.yml')]
EPOCHS = {model['Name']: model['Metadata']['Epochs'] for content in METAFILES for model in content['Models']}


SMALL = {'demo', 'own'}  # their models are small, and are not papers'
OF_ONE_WIDTH = ('mask2former', 'queryinst', 'rtmdet')  # their parts are named differently, and fit in one width alone
TRIED: set[str] = set()  # configs whose models differ in depth alone are one model when slim


def sample(size: int) -> DetDataSample:
    masks = np.zeros((2, size, size), np.uint8)
    masks[0, 5:50, 8:60] = 1
    masks[1, 60:90, 40:90] = 1
    boxes = torch.tensor([[8.0, 5, 60, 50], [40, 60, 90, 90]])
    gts = InstanceData(bboxes=boxes, labels=torch.tensor([0, 1]), masks=BitmapMasks(masks, size, size))
    shapes = ('img_shape', 'ori_shape', 'pad_shape', 'batch_input_shape')
    metainfo = dict.fromkeys(shapes, (size, size)) | dict(scale_factor=(1, 1))
    stuff = PixelData(sem_seg=torch.randint(0, 183, (1, size, size)))  # for HTC
    found = DetDataSample(metainfo=metainfo, gt_instances=gts, gt_sem_seg=stuff)
    found.colours = 255 * torch.rand(3, size // 4, size // 4)  # for BoxInst's losses
    return found


def skip_without_its_package(path: Path) -> None:
    """Of backbones that other packages bring."""
    if path.parent.name == 'backbones':
        try:
            backbone = load_config(path).model.backbone
            if backbone.type == 'TimmFeatures':
                with torch.device('meta'):
                    MODELS.build(backbone)
        except InputError as error:
            pytest.skip(str(error))


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: f'{p.parent.name}/{p.stem}')
def test_config_builds_predicts_and_trains(path):
    skip_without_its_package(path)
    cfg = Config.fromfile(path)
    loop = cfg.train_cfg.get('type', 'EpochBasedTrainLoop')
    assert (loop == 'EpochBasedTrainLoop') == (cfg.train_dataloader.sampler.type != 'InfiniteSampler'), 'an epoch ends'
    assert {cfg.val_evaluator.type, cfg.test_evaluator.type} == {'COCOInstanceMetric'}
    init_default_scope('mmdet')
    if path.parent.name not in SMALL:
        assert cfg.train_cfg.max_epochs == EPOCHS[path.stem], 'as in the metafile'
        if path.name.startswith(OF_ONE_WIDTH):
            cfg.model.backbone.init_cfg = None
        else:
            slim(cfg.model)
    few_classes(cfg.model)
    if 'rcnn' in (cfg.model.get('test_cfg') or {}):
        cfg.model.test_cfg.rcnn.max_per_img = 10
        if 'num_proposals' in cfg.model.rpn_head:
            cfg.model.rpn_head.num_proposals = 10
    if (slimmed := repr(cfg.model)) in TRIED:
        return
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    assume_dictionaries(model)  # theirs are files
    if cfg.model.type == 'QueryInst':
        model.rpn_head.init_weights()  # its proposals are weights
        for head in model.roi_head.bbox_head:  # which stay in the image
            for parameter in head.fc_reg.parameters():
                torch.nn.init.zeros_(parameter)
    size = 96
    images = torch.randn(2, 3, size, size)
    losses = model.train()(images, [sample(size), sample(size)], mode='loss')
    total, _ = model.parse_losses(losses)
    total.backward()
    assert torch.isfinite(total)
    unused = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not unused, f'DistributedDataParallel would wait for {unused}'
    with torch.no_grad():
        results = model.eval()(images, [sample(size), sample(size)], mode='predict')
    assert len(results) == 2
    assert results[0].pred_instances.bboxes.shape[1] == 4
    TRIED.add(slimmed)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: f'{p.parent.name}/{p.stem}')
def test_config_name_says_what_it_is(path):
    """{method}_{backbone}_{neck}[_{variant}]_{schedule}_{dataset}, and every folder is documented."""
    if path.parent.name == 'demo':
        return
    if path.parent.name == 'own':
        assert re.fullmatch(r'[a-z0-9-]+_lite0_(fpn|a2fpn)_(320|512)', path.stem)
        assert path.stem in (path.parent / 'README.md').read_text()
        return
    assert len(path.stem.split('_')) in (5, 6), 'five parts, six with a variant, hyphens inside a part'
    for name in ('README.md', 'metafile.yml'):
        assert (path.parent / name).is_file()
        assert path.stem in (path.parent / name).read_text(), f'{name} does not name {path.stem}'
