"""Time by stage and peak memory of a detector, for inference and for training.

Weights are random; `candidates` lets them find something.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import CondInstBboxHead, CondInstMaskHead, FCOSHead
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks, encode_mask_results
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmagg.costs.candidates import conv_modules
from mmagg.costs.memory import MemoryMeter
from mmagg.engine.stages import StageClock, replaced, watch_training
from mmagg.models.heads import BoxedMaskHead, GridMaskHead
from mmagg.models.masks.grid import aggmask as aggregator
from mmagg.models.postprocess import boxed_mask_post_processor, mask_post_processor

INFERENCE_STAGES = ('backbone', 'neck', 'head', 'decode', 'context', 'aggregation', 'post', 'RLE')
TRAINING_STAGES = (
    'backbone + neck forward',
    'towers forward',
    'after towers',
    'towers backward',
    'backbone + neck backward',
)
LAZY_PARTS = ('features', 'tower_output')  # methods of a mask branch that run its tower when a mask is first asked for


# What goes in


def random_batch(
    batch_size: int,
    shape: tuple[int, int],
    *,
    num_classes: int,
    objects: int,
    device: str | torch.device,
    seed: int = 0,
) -> tuple[Tensor, list[DetDataSample]]:
    """Smooth random images with elliptic objects of all scales.

    Args:
        batch_size: B.
        shape: (H, W), multiples of 32, which is also the original images' size.
        num_classes: labels are below this.
        objects: per image.
        device: where everything but the masks lies.
        seed: of all random numbers.

    Returns:
        (B, 3, H, W) normalised images and B samples with `gt_instances`.
    """
    generator = torch.Generator().manual_seed(seed)
    height, width = shape
    coarse = torch.randn(batch_size, 3, height // 32, width // 32, generator=generator)
    images = F.interpolate(coarse, size=shape, mode='bilinear') + 0.1 * torch.randn(
        batch_size, 3, *shape, generator=generator
    )
    rng = np.random.default_rng(seed)
    sizes = dict.fromkeys(('img_shape', 'ori_shape', 'pad_shape', 'batch_input_shape'), shape)
    samples = []
    for i in range(batch_size):
        boxes, masks = ellipses(objects, height, width, rng)
        instances = InstanceData(
            bboxes=torch.from_numpy(boxes).to(device),
            labels=torch.from_numpy(rng.integers(0, num_classes, objects)).to(device),
            masks=BitmapMasks(masks, height, width),
        )
        sample = DetDataSample(metainfo={'img_id': i, 'scale_factor': (1.0, 1.0), **sizes}, gt_instances=instances)
        sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4, device=device))
        samples.append(sample)
    return images.to(device), samples


def ellipses(number: int, height: int, width: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Ellipses of all scales in random places: boxes (number, 4) float32, masks (number, height, width) uint8."""
    short = min(height, width)
    sides = np.geomspace(short / 50, 0.8 * short, number)[:, None] * np.exp(rng.uniform(-0.2, 0.2, (number, 2)))
    w, h = sides.T
    x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
    rows, columns = np.ogrid[:height, :width]
    across = (columns + 0.5 - (x + w / 2)[:, None, None]) / w[:, None, None]
    down = (rows + 0.5 - (y + h / 2)[:, None, None]) / h[:, None, None]
    return np.stack([x, y, x + w, y + h], 1).astype(np.float32), (across**2 + down**2 <= 0.25).astype(np.uint8)


# Inference


@torch.no_grad()
def time_inference(model: nn.Module, inputs: Tensor, samples: list[DetDataSample]) -> tuple[dict[str, float], int]:
    """Seconds of each of the `INFERENCE_STAGES`, and the number of instances found.

    head: the towers (of a lazy head: those that were needed); decode: the masks of the candidates, which mmdet's heads
    make partly in 'head', partly in 'post', without an aggregator's context and aggregation, which are stages of their
    own; post: everything else; RLE: encoding the final masks. Where boxes come from FCOS, head is what finds them
    before NMS, and decode all that masks add to it up to pasting or upsampling them: bases or mask features,
    coefficients (CondInst's at all locations) and what is made of both.
    """
    clock = StageClock(inputs.device)
    with clock.watch(inference_places(model)), clock.stage('post'):
        results = model.predict(inputs, samples, rescale=True)
        _encode(results, clock)
    return {stage: clock.seconds.get(stage, 0.0) for stage in INFERENCE_STAGES}, _instances(results)


@torch.no_grad()
def inference_memory(model: nn.Module, inputs: Tensor, samples: list[DetDataSample]) -> dict[str, float]:
    """Peak memory of an inference in bytes: above what was held at the end of the backbone, and above the start."""
    forward = model.backbone.forward

    def then_mark(x: Tensor) -> Sequence[Tensor]:
        out = forward(x)
        meter.mark('after the backbone')
        return out

    with replaced(model.backbone, 'forward', then_mark), MemoryMeter(inputs.device) as meter:
        _encode(model.predict(inputs, samples, rescale=True), StageClock())
    return {'above the backbone': meter.peak('after the backbone'), 'all': meter.peak()}


def inference_places(model: nn.Module) -> Iterator[tuple]:
    """What is watched in an inference, as (owner, attribute, stage)."""
    parts = dict(model.named_children())
    for stage in ('backbone', 'neck'):
        if stage in parts:
            yield parts[stage], 'forward', stage
    for name in ('rpn_head', 'bbox_head', 'roi_head'):
        if name in parts:
            # FCOS's forward pass is told apart from its NMS: ours is as well.
            yield parts[name], 'forward' if isinstance(parts[name], FCOSHead) else 'predict', 'head'
    if isinstance(parts.get('bbox_head'), CondInstBboxHead):
        yield parts['bbox_head'].controller, 'forward', 'decode'
    head = parts.get('mask_head')
    if isinstance(head, GridMaskHead):
        yield from _grid_head_places(head)
    elif isinstance(head, BoxedMaskHead):
        yield from _boxed_head_places(head)
    elif head is not None:
        yield head, 'forward', 'decode' if isinstance(head, CondInstMaskHead) else 'head'


def _grid_head_places(head: GridMaskHead) -> Iterator[tuple]:
    yield head, 'forward', 'head'
    yield head, 'decode', 'decode'
    yield mask_post_processor, 'windows_to_rle', 'RLE'
    for part in LAZY_PARTS:
        if hasattr(head.mask_branch, part):
            yield head.mask_branch, part, 'head'
    if isinstance(head.aggregator, aggregator.AggMaskAggregator):
        yield aggregator, 'dynamic_conv_of_gathered', 'aggregation'
        if head.aggregator.context is not None:
            yield head.aggregator.context, 'fused', 'context'


def _boxed_head_places(head: BoxedMaskHead) -> Iterator[tuple]:
    yield head.boxes, 'forward', 'head'
    yield head.masks, 'features', 'decode'
    if head.coefficients is not None:
        yield head.coefficients, 'features', 'decode'
    yield head, 'decode', 'decode'
    yield boxed_mask_post_processor, 'windows_to_rle', 'RLE'


def _encode(results: list[DetDataSample], clock: StageClock) -> None:
    """Encode masks that are none yet, as mmdet's metrics do."""
    for result in results:
        masks = result.pred_instances.get('masks')
        if isinstance(masks, Tensor):
            with clock.stage('RLE'):
                encode_mask_results(masks.cpu().numpy())


def _instances(results: list[DetDataSample]) -> int:
    return sum(len(result.pred_instances) for result in results)


# Training


def time_training(model: nn.Module, inputs: Tensor, samples: list[DetDataSample]) -> dict[str, float]:
    """Seconds of each of the `TRAINING_STAGES`; together they are a step without the optimiser.

    towers: the layers of convolution, normalisation and activation of all heads; after towers: what else the heads and
    losses do, forward and backward (maps, targets, losses). See `watch_training` for how they are told apart.
    """
    clock = StageClock(inputs.device)
    with watch_training(clock, conv_modules(_heads(model)), 'towers forward', 'towers backward'):
        _training_step(model, inputs, samples, clock.stage)
    return {stage: clock.seconds.get(stage, 0.0) for stage in TRAINING_STAGES}


def training_memory(model: nn.Module, inputs: Tensor, samples: list[DetDataSample]) -> dict[str, float]:
    """Peak memory of a training step in bytes: of heads and losses above the pyramid's, and above the start."""
    with MemoryMeter(inputs.device) as meter:
        _training_step(model, inputs, samples, lambda name: nullcontext(meter.mark(name)))
    return {'head + loss': meter.peak('after towers', 'backbone + neck backward'), 'all': meter.peak()}


def _training_step(
    model: nn.Module, inputs: Tensor, samples: list[DetDataSample], part: Callable[[str], AbstractContextManager]
) -> None:
    """Forward and backward; the pyramid is cut out of the graph so that its two sides can be measured apart.

    Args:
        part: makes the context in which a part of the step runs, from the part's name.
    """
    with part('backbone + neck forward'):
        pyramid = model.extract_feat(inputs)
    leaves = [x.detach().requires_grad_() for x in pyramid]
    with part('after towers'), replaced(model, 'extract_feat', lambda _: leaves):
        loss, _ = model.parse_losses(model.loss(inputs, samples))
        loss.backward()
    with part('backbone + neck backward'):
        used = [
            (x, leaf.grad) for x, leaf in zip(pyramid, leaves, strict=True) if leaf.grad is not None and x.requires_grad
        ]
        if used:
            torch.autograd.backward(*zip(*used, strict=True))
    model.zero_grad(set_to_none=True)


def _heads(model: nn.Module) -> list[nn.Module]:
    return [part for name, part in model.named_children() if name not in ('data_preprocessor', 'backbone', 'neck')]
