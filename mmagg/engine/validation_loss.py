"""Losses of the validation images, beside which those of training show what was learnt by heart."""

import copy
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from mmcv.transforms import LoadAnnotations
from mmdet.registry import HOOKS
from mmengine.dataset import Compose, DefaultSampler
from mmengine.dist import all_reduce, get_dist_info, is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm


@HOOKS.register_module()
class ValidationLossHook(Hook):
    """The training's losses, over the validation images, after each validation.

    `custom_hooks = [dict(type='ValidationLossHook')]`, or `tools/train.py --val-loss`. Logged as `val/loss`,
    `val/loss_mask` and so on at the iteration reached. They are among the validation's metrics too, for
    `save_best='val/loss'`, early stopping and schedules by plateau. The training goes on as if they had not been
    computed; only what a model keeps outside of its buffers and changes in `loss` (Dynamic R-CNN) is not restored.

    Images are resized as for testing and not augmented. As losses are averages over the positives of a batch, batches
    are as large as in training. Each counts by its images. Where several processes share the images and their number
    does not divide, repeated ones have no weight; but a process that is left with nothing else computes the losses of
    one, and its positives count where processes average over common positives.
    """

    priority = 'ABOVE_NORMAL'  # before EMAHook puts the weights back that were not validated
    loader: DataLoader | None = None  # none outside of a training

    def before_train(self, runner: Runner) -> None:
        """Prepare the data.

        Raises:
            ValueError: the training does not validate, or the data lack what its losses need.
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
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        losses = {f'val/{name}': x for name, x in mean_losses(model, self.loader, runner.optim_wrapper).items()}
        (metrics if metrics is not None else {}).update(losses)
        # mmengine's own way to the log would average them over validations, as it averages losses over iterations.
        runner.logger.info('  '.join(f'{name}: {value:.4f}' for name, value in losses.items()))
        log = f'{runner.timestamp}.json'
        runner.visualizer.add_scalars({**losses, 'iter': runner.iter}, step=runner.iter, file_path=log)


def annotation_loaders(dataset: Dataset) -> list[LoadAnnotations]:
    """The transforms with which a data set, maybe one made of others, loads its annotations.

    Raises:
        ValueError: it has none.
    """
    while not hasattr(dataset, 'pipeline') or hasattr(dataset, 'dataset'):
        dataset = dataset.datasets[0] if hasattr(dataset, 'datasets') else dataset.dataset
    loaders = [step for step in dataset.pipeline.transforms if isinstance(step, LoadAnnotations)]
    if not loaders:
        raise ValueError('validation losses: no step of the training pipeline is a LoadAnnotations')
    return loaders


def with_annotations(dataset: Dataset, loaders: Sequence[LoadAnnotations]) -> Dataset:
    """A copy of a data set for testing that loads annotations as in training, before images are resized.

    For a metric, test pipelines load them after that, in the frame of the file.

    Raises:
        ValueError: semantic maps are wanted that the data set does not have.
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
def mean_losses(model: nn.Module, loader: DataLoader, optim_wrapper: OptimWrapper) -> dict[str, float]:
    """Losses of all images, averaged over batches by their numbers of images.

    Args:
        model: a detector, not wrapped; it stays as it is.
        loader: of annotated images, with mmengine's `DefaultSampler`, not shuffled; each process takes its share.
        optim_wrapper: knows the precision of training.

    Returns:
        The total, `loss`, and its parts; the same in all processes.
    """
    rank, world = get_dist_info()
    count, seen = len(loader.dataset), 0
    totals = defaultdict(float)
    bar = tqdm(loader, 'validation loss', unit='batch', delay=2, leave=False, disable=not is_main_process())
    with own_random_numbers(), computing_losses(model):
        for batch in bar:
            size = len(batch['inputs'])
            new = sum(rank + world * index < count for index in range(seen, seen + size))
            seen += size
            # Losses may wait for those of the other processes: none can be left out.
            batch = {key: part[: max(new, 1)] for key, part in batch.items()}
            with optim_wrapper.optim_context(model):
                losses = model(**model.data_preprocessor(batch, True), mode='loss')
            for name, value in model.parse_losses(losses)[1].items():
                if 'loss' in name:
                    totals[name] += new * value.double()
    means = torch.stack(list(totals.values())) / count
    all_reduce(means)
    return dict(zip(totals, means.tolist(), strict=True))


@contextmanager
def computing_losses(model: nn.Module) -> Iterator[None]:
    """Let a detector compute losses, and leave it as it was.

    Layers work as in evaluation: statistics are used and not gathered, nothing is dropped, batches are not augmented.
    But what has a method `loss` takes its way through training, as mmdet's heads may scale their predictions otherwise
    or have more of them.
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
    """Random numbers that are the same every time; those outside go on as if none had been drawn."""
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
