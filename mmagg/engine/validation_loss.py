"""Losses of the validation images; where they rise while those of training fall, the model overfits."""

import copy
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

import numpy as np
import torch
from mmcv.transforms import LoadAnnotations
from mmdet.registry import HOOKS
from mmengine.dataset import BaseDataset, Compose, ConcatDataset, DefaultSampler, RepeatDataset
from mmengine.dist import all_reduce, get_dist_info, is_main_process
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from mmagg.engine.bare_model import bare_model

Data: TypeAlias = BaseDataset | ConcatDataset | RepeatDataset  # or another wrapper: they share no class


@HOOKS.register_module()
class ValidationLossHook(Hook):
    """Computes the training's losses over the validation images after each validation.

    `custom_hooks = [dict(type='ValidationLossHook')]`, or `tools/train.py --val-loss`. They are logged as `val/loss`,
    `val/loss_mask` and so on, and are among the validation's metrics, for `save_best='val/loss'`, early stopping and
    schedules by plateau. The training goes on as if they had not been computed, except for state that a model changes
    in `loss` and keeps outside of its buffers (Dynamic R-CNN).

    Images are resized as for testing and not augmented. Batches are as large as in training, because losses are
    averages over the positives of a batch; each counts by its number of images. Images that a sampler repeats, to give
    several processes equal shares, have no weight. A process with repeated ones alone still computes the losses of one,
    whose positives count where processes average over common positives.
    """

    priority = 'ABOVE_NORMAL'  # before EMAHook puts the weights back that were not validated
    loader: DataLoader | None = None  # None outside of a training

    def before_train(self, runner: Runner) -> None:
        """Prepare the data.

        Raises:
            ValueError: the config has no validation, or its data lack annotations that the losses need.
        """
        if runner.val_loop is None:
            raise ValueError('validation losses: the config has no validation (val_dataloader, val_cfg, val_evaluator)')
        train, val = runner.train_dataloader, runner.val_dataloader
        dataset = with_annotations(val.dataset, annotation_loaders(train.dataset))
        self.loader = DataLoader(
            dataset,
            batch_size=train.batch_sampler.batch_size,
            sampler=DefaultSampler(dataset, shuffle=False, seed=0),  # without a seed it would draw one
            num_workers=val.num_workers,
            collate_fn=val.collate_fn,
            worker_init_fn=val.worker_init_fn,
        )

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Compute and log."""
        if self.loader is None:
            return
        model = bare_model(runner)
        losses = {f'val/{name}': x for name, x in mean_losses(model, self.loader, runner.optim_wrapper).items()}
        (metrics if metrics is not None else {}).update(losses)
        # Not by mmengine's message hub: it would average them over validations, as it averages losses over iterations.
        runner.logger.info('  '.join(f'{name}: {value:.4f}' for name, value in losses.items()))
        log = f'{runner.timestamp}.json'
        runner.visualizer.add_scalars({**losses, 'iter': runner.iter}, step=runner.iter, file_path=log)


def annotation_loaders(dataset: Data) -> list[LoadAnnotations]:
    """The transforms that load a data set's annotations; a wrapped or concatenated one's are those of its first part.

    Raises:
        ValueError: it has none.
    """
    while not hasattr(dataset, 'pipeline') or hasattr(dataset, 'dataset'):
        dataset = dataset.datasets[0] if hasattr(dataset, 'datasets') else dataset.dataset
    loaders = [step for step in dataset.pipeline.transforms if isinstance(step, LoadAnnotations)]
    if not loaders:
        raise ValueError('validation losses: no step of the training pipeline is a LoadAnnotations')
    return loaders


def with_annotations(dataset: Data, loaders: Sequence[LoadAnnotations]) -> Data:
    """A copy of a data set for testing that loads annotations before it resizes images, as in training.

    Test pipelines load them after resizing, because metrics compare in the file's frame.

    Raises:
        ValueError: ``loaders`` load semantic maps, which the data set does not have.
    """
    dataset = copy.copy(dataset)
    if hasattr(dataset, 'datasets'):
        dataset.datasets = [with_annotations(part, loaders) for part in dataset.datasets]
    elif hasattr(dataset, 'dataset'):
        dataset.dataset = with_annotations(dataset.dataset, loaders)
    else:
        if any(getattr(step, 'with_seg', False) for step in loaders) and not dataset.data_prefix.get('seg'):
            raise ValueError(
                'validation losses: the training loads semantic maps, but the validation data name none '
                '(val_dataloader.dataset.data_prefix.seg)'
            )
        image, *rest = dataset.pipeline.transforms
        dataset.pipeline = Compose([image, *loaders, *(x for x in rest if not isinstance(x, LoadAnnotations))])
    return dataset


@torch.no_grad()
def mean_losses(model: BaseModel, loader: DataLoader, optim_wrapper: OptimWrapper) -> dict[str, float]:
    """Losses of all images, averaged over batches by their numbers of images.

    Args:
        model: a detector, not wrapped; it stays as it is.
        loader: of annotated images, with mmengine's `DefaultSampler`, not shuffled; each process takes its share.
        optim_wrapper: has the context of training, such as its precision.

    Returns:
        The total, `loss`, and its parts; the same in all processes.
    """
    rank, world = get_dist_info()
    dataset: Data = loader.dataset
    count, seen = len(dataset), 0
    totals: dict[str, Tensor] = {}
    bar = tqdm(loader, 'validation loss', unit='batch', delay=2, leave=False, disable=not is_main_process())
    with own_random_numbers(), computing_losses(model):
        for batch in bar:
            size = len(batch['inputs'])
            new = sum(rank + world * index < count for index in range(seen, seen + size))
            seen += size
            # Every process computes losses, as they may average over all processes.
            batch = {key: part[: max(new, 1)] for key, part in batch.items()}
            with optim_wrapper.optim_context(model):
                losses = model(**model.data_preprocessor(batch, True), mode='loss')
            for name, value in model.parse_losses(losses)[1].items():
                if 'loss' in name:
                    totals[name] = totals.get(name, 0) + new * value.double()
    means = torch.stack(list(totals.values())) / count
    all_reduce(means)
    return dict(zip(totals, means.tolist(), strict=True))


@contextmanager
def computing_losses(model: BaseModel) -> Iterator[None]:
    """Let a detector compute losses, and leave it as it was.

    Layers work as in evaluation: statistics are used and not gathered, nothing is dropped, batches are not augmented.
    Modules with a method `loss` alone are in training mode, as mmdet's heads predict otherwise in evaluation mode.
    """
    modes = {module: module.training for module in model.modules()}
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    augments = getattr(model.data_preprocessor, 'batch_augments', None)
    for module in modes:
        module.training = callable(getattr(module, 'loss', None))
    if augments is not None:
        model.data_preprocessor.batch_augments = None
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        for buffer, before in buffers:
            buffer.copy_(before)
        if augments is not None:
            model.data_preprocessor.batch_augments = augments


@contextmanager
def own_random_numbers() -> Iterator[None]:
    """A fixed seed inside the block; the generators outside go on as if nothing had been drawn."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng([torch.cuda.current_device()] if torch.cuda.is_available() else []):
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
