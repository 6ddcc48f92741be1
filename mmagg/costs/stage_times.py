"""Time by stage and peak memory of a detector, for inference and for training.

Weights are random; `candidates` lets them find something.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence

import torch
from mmdet.models.detectors import BaseDetector
from mmdet.structures import DetDataSample
from mmdet.structures.mask import encode_mask_results
from torch import Tensor, nn

from mmagg.costs.candidates import conv_modules
from mmagg.costs.memory import MemoryMeter
from mmagg.engine.stages import PARTS_OF, marked_detector, own_graphs
from mmagg.ops.stage import StageClock, stage

INFERENCE_STAGES = ('backbone', 'neck', 'head', 'decode', 'context', 'aggregation', 'post', 'RLE')
TRAINING_STAGES = (
    'backbone + neck forward',
    'towers forward',
    'after towers',
    'towers backward',
    'backbone + neck backward',
)
FORWARD, TOWERS_FORWARD, AFTER, TOWERS_BACKWARD, BACKWARD = TRAINING_STAGES


@torch.no_grad()
def time_inference(model: BaseDetector, inputs: Tensor, samples: list[DetDataSample]) -> tuple[dict[str, float], int]:
    """Seconds of each of the `INFERENCE_STAGES`, see `marked_detector`, and the number of instances found.

    RLE: encoding the final masks, by the detector, or as mmdet's metrics do.
    """
    clock = StageClock(inputs.device)
    with clock.listening(), marked_detector(model):
        results = _predict(model, inputs, samples)
    seconds = defaultdict(float, dict.fromkeys(INFERENCE_STAGES, 0.0))
    for name, value in clock.seconds.items():
        seconds[PARTS_OF.get(name, name)] += value
    return dict(seconds), sum(len(result.pred_instances) for result in results)


@torch.no_grad()
def inference_memory(model: BaseDetector, inputs: Tensor, samples: list[DetDataSample]) -> dict[str, float]:
    """Peak memory of an inference in bytes: above what was held at the end of the backbone, and above the start."""
    with MemoryMeter(inputs.device) as meter:
        hook = model.backbone.register_forward_hook(lambda *_: meter.mark('after the backbone'))
        _predict(model, inputs, samples)
    hook.remove()
    return {'above the backbone': meter.peak('after the backbone'), 'all': meter.peak()}


def _predict(model: BaseDetector, inputs: Tensor, samples: list[DetDataSample]) -> list[DetDataSample]:
    """The predictions; masks that are no RLE yet are encoded, as mmdet's metrics do."""
    results = model(inputs, samples, mode='predict')
    for result in results:
        masks = result.pred_instances.get('masks')
        if isinstance(masks, Tensor):
            with stage('RLE'):
                encode_mask_results(masks.cpu().numpy())
    return results


def time_training(model: BaseDetector, inputs: Tensor, samples: list[DetDataSample]) -> dict[str, float]:
    """Seconds of each of the `TRAINING_STAGES`; together they are a step without the optimiser.

    towers: the layers of convolution, normalisation and activation of all heads; after towers: the rest of heads and
    losses, forward and backward (maps, targets, losses). `own_graphs` tells them apart.
    """
    clock = StageClock(inputs.device)

    def begin(part: str) -> None:
        clock.end()
        clock.begin(part)

    heads = [part for name, part in model.named_children() if name not in ('data_preprocessor', 'backbone', 'neck')]
    with clock.listening(), own_graphs(conv_modules(heads), TOWERS_FORWARD, TOWERS_BACKWARD):
        clock.begin(FORWARD)
        _training_step(model, inputs, samples, begin)
        clock.end()
    seconds = {name: clock.seconds[name] for name in TRAINING_STAGES}
    # The heads mark stages of their own, which are neither towers nor backbone.
    return seconds | {AFTER: seconds[AFTER] + clock.total - sum(seconds.values())}


def training_memory(model: BaseDetector, inputs: Tensor, samples: list[DetDataSample]) -> dict[str, float]:
    """Peak memory of a training step in bytes: of heads and losses above the pyramid's, and above the start."""
    with MemoryMeter(inputs.device) as meter:
        _training_step(model, inputs, samples, meter.mark)
    return {'head + loss': meter.peak(AFTER, BACKWARD), 'all': meter.peak()}


def _training_step(
    model: BaseDetector, inputs: Tensor, samples: list[DetDataSample], begin: Callable[[str], None]
) -> None:
    """Forward and backward; ``begin`` is called with `AFTER` and `BACKWARD` when these parts begin.

    The pyramid is cut out of the graph so that its two sides can be measured apart.
    """
    pyramid: list[Tensor] = []
    leaves: list[Tensor] = []

    def cut(_: nn.Module, __: tuple, levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        begin(AFTER)
        pyramid.extend(levels)
        leaves.extend(x.detach().requires_grad_() for x in levels)
        return tuple(leaves)

    hook = (model.neck if model.with_neck else model.backbone).register_forward_hook(cut)
    try:
        loss, _ = model.parse_losses(model.loss(inputs, samples))
    finally:
        hook.remove()
    loss.backward()
    begin(BACKWARD)
    used = [(x, leaf.grad) for x, leaf in zip(pyramid, leaves, strict=True) if leaf.grad is not None]
    used = [(x, grad) for x, grad in used if x.requires_grad]
    if used:
        outputs, grads = zip(*used, strict=True)
        torch.autograd.backward(outputs, grads)
    model.zero_grad(set_to_none=True)
