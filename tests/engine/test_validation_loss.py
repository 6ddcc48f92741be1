"""Validation losses: what they are, and that a training does not notice them."""

import json
import random
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.dataset import Compose, DefaultSampler, pseudo_collate
from mmengine.hooks import EMAHook
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, get_priority
from torch import nn
from torch.utils.data import DataLoader

from mmagg import register  # noqa: F401
from mmagg.apis.amp import CPUAmpOptimWrapper
from mmagg.apis.data import use_coco_folder
from mmagg.demo.shapes import write_shapes
from mmagg.engine import validation_loss
from mmagg.engine.validation_loss import ValidationLossHook, annotation_loaders, mean_losses, with_annotations


class Head(nn.Module):
    """A head as mmdet has them: scaled otherwise in evaluation; it counts its calls."""

    def __init__(self):
        super().__init__()
        self.register_buffer('calls', torch.zeros(()))

    def loss(self, x):
        self.calls += 1
        return x * (1 if self.training else 100)


class Toy(BaseModel):
    """Its loss is the mean of the inputs if layers evaluate and the head trains; `loss_noise` is random."""

    def __init__(self):
        super().__init__()
        self.norm, self.drop, self.head = nn.BatchNorm1d(1, eps=0, affine=False), nn.Dropout(0.9), Head()

    def loss(self, inputs):
        x = self.drop(self.norm(torch.stack(list(inputs))))
        noise = torch.rand(()) + np.random.rand() + random.random()
        return {'loss_mean': [self.head.loss(x.mean())], 'loss_noise': noise, 'acc': x.sum()}

    def forward(self, inputs, mode='tensor'):
        assert mode == 'loss'
        return self.loss(inputs)


VALUES = [1.0, 2.0, 3.0, 4.0, 8.0]


def toy_losses(model, batch_size=2, wrapper=OptimWrapper):
    dataset = [dict(inputs=torch.full((1,), x)) for x in VALUES]
    sampler = DefaultSampler(dataset, shuffle=False, seed=0)
    loader = DataLoader(dataset, batch_size, sampler=sampler, collate_fn=pseudo_collate)
    optim_wrapper = wrapper(torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1))
    return mean_losses(model, loader, optim_wrapper)


def test_mean_over_images_with_everything_left_as_it_was():
    model = Toy().eval()
    model.drop.train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    losses = toy_losses(model)
    assert losses['loss_mean'] == pytest.approx(sum(VALUES) / 5)  # three batches: 2, 2 and 1 images
    assert losses['loss'] == pytest.approx(losses['loss_mean'] + losses['loss_noise'])
    assert set(losses) == {'loss', 'loss_mean', 'loss_noise'}
    assert toy_losses(model) == losses
    assert [module.training for module in (model, model.norm, model.drop, model.head)] == [False, False, True, False]
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states[:2]
    assert torch.equal(torch.get_rng_state(), states[2])


def test_in_the_precision_of_training():
    model = Toy()
    model.head.loss = lambda x: torch.ones(1, 1) @ x.reshape(1, 1)
    model.norm.running_mean.fill_(-0.001)  # 1.001 and so on, which bfloat16 rounds to 1
    exact, rounded = toy_losses(model, 1), toy_losses(model, 1, CPUAmpOptimWrapper)
    assert exact['loss_mean'] == pytest.approx(sum(VALUES) / 5 + 0.001, abs=1e-6)
    assert rounded['loss_mean'] == sum(VALUES) / 5


@pytest.mark.parametrize('world', [2, 3, 7])
def test_images_that_processes_repeat_have_no_weight(world, monkeypatch):
    """Each process's share, one after the other; what they exchange is their sum."""
    shares = []
    monkeypatch.setattr(validation_loss, 'all_reduce', shares.append)
    for rank in range(world):
        for module in ('mmengine.dataset.sampler', 'mmagg.engine.validation_loss'):
            monkeypatch.setattr(f'{module}.get_dist_info', lambda rank=rank: (rank, world))
        toy_losses(Toy())
    names = ('loss', 'loss_mean', 'loss_noise')
    total = dict(zip(names, sum(shares).tolist(), strict=True))
    assert total['loss_mean'] == pytest.approx(sum(VALUES) / 5)


@pytest.fixture(scope='module')
def scenes(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('data') / 'shapes'
    write_shapes(folder, images=4, val_images=3, size=64, seed=0)
    return folder


def demo_runner(root, scenes, work_dir, name='solo', hooks=({'type': 'ValidationLossHook'},)) -> Runner:
    """A demo config on 64 pixels, two iterations of two images, validated after each."""
    cfg = Config.fromfile(root / f'configs/demo/{name}_tiny_shapes.py')
    cfg.custom_hooks = [*cfg.get('custom_hooks', []), *hooks]
    for part in ('train', 'val', 'test'):
        loader = cfg[f'{part}_dataloader']
        loader.update(num_workers=0, persistent_workers=False)
        next(step for step in loader.dataset.pipeline if step.type == 'Resize').scale = (96, 64)
    cfg.train_dataloader.batch_size = 2
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=2, val_interval=1)
    cfg.param_scheduler = []
    cfg.default_hooks.update(logger=dict(type='LoggerHook', interval=1))
    best = dict(save_best='val/loss') if hooks else {}
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', by_epoch=False, interval=1, **best)
    cfg.log_processor = dict(by_epoch=False)
    cfg.work_dir, cfg.log_level, cfg.experiment_name = str(work_dir), 'ERROR', work_dir.name
    cfg.visualizer.name = str(work_dir)  # mmengine keeps them by name
    if name == 'meinst':
        cfg.model.mask_head.masks.codec = dict(type='DCTMaskCodec', mask_size=28, num_codes=40)
    use_coco_folder(cfg, scenes)
    return Runner.from_cfg(cfg)


def recorded(work_dir) -> list[dict]:
    """The validation losses in the log."""
    lines = map(json.loads, next(work_dir.glob('*/vis_data/scalars.json')).read_text().splitlines())
    return [line for line in lines if 'val/loss' in line]


def test_a_training_does_not_notice(root, scenes, tmp_path):
    """Bitwise the same weights; and the last losses are those of the last weights on annotations resized by hand."""
    with_hook = demo_runner(root, scenes, tmp_path / 'with')
    with_hook.train()
    without = demo_runner(root, scenes, tmp_path / 'without', hooks=())
    without.train()
    ours, theirs = with_hook.model.state_dict(), without.model.state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())

    lines = recorded(tmp_path / 'with')
    assert [(line['step'], line['iter']) for line in lines] == [(1, 1), (2, 2)]
    assert list((tmp_path / 'with').glob('best_val_loss_iter_*.pth'))

    dataset = with_hook.cfg.val_dataloader.dataset.copy()
    order = ('LoadImageFromFile', 'LoadAnnotations', 'Resize', 'PackDetInputs')
    dataset.pipeline = [next(step for step in dataset.pipeline if step.type == name) for name in order]
    images = DATASETS.build(dataset)
    model = with_hook.model.eval()
    expected = 0
    for batch in ([images[0], images[1]], [images[2]]):
        with torch.no_grad():
            losses = model(**model.data_preprocessor(pseudo_collate(batch), True), mode='loss')
        expected += len(batch) / 3 * sum(losses.values()).item()
    assert lines[-1]['val/loss'] == pytest.approx(expected, rel=1e-5)


def test_losses_are_of_the_weights_that_are_validated():
    # After a validation, EMAHook puts the weights back that are trained.
    assert get_priority(ValidationLossHook.priority) < get_priority(EMAHook.priority)


def test_annotations_are_found_in_data_sets_made_of_others():
    init_default_scope('mmdet')
    train = types.SimpleNamespace(dataset=_dataset('LoadImageFromFile', 'LoadPolygonAnnotations', 'PackDetInputs'))
    test = _dataset('LoadImageFromFile', 'Resize', 'LoadAnnotations', 'PackDetInputs')
    ours = with_annotations(types.SimpleNamespace(datasets=[test, test]), annotation_loaders(train))
    kinds = [type(step).__name__ for step in ours.datasets[1].pipeline.transforms]
    assert kinds == ['LoadImageFromFile', 'LoadPolygonAnnotations', 'Resize', 'PackDetInputs']
    assert type(test.pipeline.transforms[1]).__name__ == 'Resize'


def test_what_is_missing_is_said():
    with pytest.raises(ValueError, match='no step of the training pipeline is a LoadAnnotations'):
        annotation_loaders(_dataset('LoadImageFromFile'))
    semantic = types.SimpleNamespace(with_seg=True)
    with pytest.raises(ValueError, match=r'val_dataloader\.dataset\.data_prefix\.seg'):
        with_annotations(_dataset('LoadImageFromFile'), [semantic])
    runner = types.SimpleNamespace(val_loop=None)
    with pytest.raises(ValueError, match='no validation'):
        validation_loss.ValidationLossHook().before_train(runner)


def _dataset(*kinds):
    arguments = {'Resize': dict(scale=(64, 64))}
    steps = [dict(type=kind, **arguments.get(kind, {})) for kind in kinds]
    return types.SimpleNamespace(pipeline=Compose(steps), data_prefix=dict(img='images/val/'))


@pytest.mark.slow
@pytest.mark.parametrize('name', ['aggmask', 'blendmask', 'meinst', 'mask-rcnn-a2fpn'])
def test_every_kind_of_model(name, root, scenes, tmp_path):
    runner = demo_runner(root, scenes, tmp_path, name)
    runner.train()
    trained = {key for key in runner.message_hub.log_scalars if key.startswith('train/loss')}
    for line in recorded(tmp_path):
        assert {key for key in line if key.startswith('val/loss')} == {key.replace('train', 'val') for key in trained}
    assert ('val/loss_orth' in line) == (name == 'mask-rcnn-a2fpn')
