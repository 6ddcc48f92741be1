"""The masks that BlendMask and MEInst add to boxes, alone: coefficients at a few places, masks of N detections.

Shape shorthand: N detections or places, C channels, (h, w) size of a level, D coefficients.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from typing import Any

import torch
from mmdet.models.detectors import BaseDetector
from torch import Tensor
from tqdm import tqdm

from mmagg.apis.hardware import hardware, usable_device
from mmagg.apis.inference import for_inference
from mmagg.costs.random_model import MASK_FORMAT, random_model
from mmagg.costs.timing import heading, measure
from mmagg.engine.first_step import FirstStepHook
from mmagg.io.errors import InputError
from mmagg.models.heads import BoxedMaskHead
from mmagg.models.masks import Coefficients
from mmagg.models.postprocess import DetectedBoxes

PLACES = (100, 200)
DETECTIONS = (1, 10, 50, 100)
PASSES = ('forward', 'forward + backward')
STAGES = ('shared', 'coefficients', 'merging', 'pasting')
SMALLEST, LARGEST = 0.03, 0.6  # roots of the boxes' areas, of the image's short side
ASPECT = 0.25  # largest logarithm of the root of a box's aspect ratio
TOLERANCE = 1e-2  # relative; convolutions on a GPU may round to ten bits


def benchmark_boxed_masks(
    config: str,
    *,
    shape: tuple[int, int] = (800, 1216),
    runs: int = 3,
    device: str = 'cpu',
    cfg_options: dict | None = None,
) -> dict[str, Any]:
    """Time and peak memory of the masks of a config's `BoxedMaskHead` alone, for one image, on random maps.

    Args:
        config: config file of a detector.
        shape: (H, W) of the image.
        runs: timed runs of each form, in turns.
        device: e.g. cuda:0.
        cfg_options: changes to the config, dotted keys.

    Returns:
        `hardware`, `config`, `shape`, `runs`; `coefficients`, comparisons of `compare_coefficients`, none for a head
        without sparse ones; `masks`, by the number of detections, from `time_masks`.

    Raises:
        InputError: the config cannot be used, its head is another one or has no masks, or there is no such device.
    """
    place = usable_device(device)
    model = random_model(config, cfg_options)
    head = getattr(model, 'mask_head', None)
    if not isinstance(head, BoxedMaskHead):
        raise InputError(f'{config}: the mask head is a {type(head).__name__}, not a BoxedMaskHead')
    if head.masks is None:
        raise InputError(f'{config}: its BoxedMaskHead finds boxes without masks; there is nothing to measure')
    if MASK_FORMAT not in (cfg_options or {}):
        head.post_process.mask_format = 'bitmap'  # encoding is no part of this
    model = model.to(place).eval()
    places = PLACES if head.coefficients is not None and not head.coefficients.dense else ()
    coefficients = []
    for backward in (True, False):  # training has the memory layout that the model is built with
        model = model if backward else for_inference(model)
        feats = random_pyramid(model, shape)
        for number in tqdm(places, desc='places', leave=False):
            coefficients.append(compare_coefficients(head, feats, shape, number, backward=backward, runs=runs))
    return {
        'hardware': hardware(place),
        'config': config,
        'shape': list(shape),
        'runs': runs,
        'coefficients': coefficients,
        'masks': time_masks(head, feats, shape, DETECTIONS, runs),
    }


# Inputs


@torch.no_grad()
def random_pyramid(model: BaseDetector, shape: tuple[int, int]) -> list[Tensor]:
    """Random maps as a detector's neck returns them for an image of `shape` (H, W): of their sizes and layouts."""
    generator = torch.Generator().manual_seed(0)
    with FirstStepHook().watched():
        feats = model.extract_feat(next(model.parameters()).new_zeros(1, 3, *shape))
    return [torch.empty_like(x).copy_(torch.randn(x.shape, generator=generator)) for x in feats]


def random_detections(
    head: BoxedMaskHead, number: int, shape: tuple[int, int], sizes: Sequence[tuple[int, int]]
) -> DetectedBoxes:
    """`number` detections of all sizes in random places of an image of `shape` (H, W).

    Each is found at a location of the head in its middle, on the level that learns boxes of its size; `sizes` are the
    (h, w) of the levels.
    """
    generator = torch.Generator().manual_seed(number)
    limits = min(shape) * torch.tensor([SMALLEST, LARGEST])
    steps = (torch.arange(number) + 0.5) / number
    low, high = limits.log()
    root = torch.exp(torch.lerp(low, high, steps))[torch.randperm(number, generator=generator)]
    aspect = torch.exp(ASPECT * (2 * torch.rand(number, generator=generator) - 1))
    extent = torch.stack([root * aspect, root / aspect], dim=1)
    first = torch.rand(number, 2, generator=generator) * (torch.tensor(shape[::-1]) - extent)
    boxes = torch.cat([first, first + extent], dim=1)

    farthest = torch.tensor([most for _, most in head.boxes.assigner.ranges])
    level = torch.searchsorted(farthest, extent.amax(1) / 2)
    strides = torch.tensor(head.boxes.strides)[level]
    x, y = ((first + extent / 2) / strides[:, None]).long().t()
    starts = torch.tensor([0, *accumulate(h * w for h, w in sizes)])
    places = starts[level] + y * torch.tensor([w for _, w in sizes])[level] + x
    scores = torch.linspace(0.95, 0.05, number)
    labels = torch.randint(head.boxes.num_classes, (number,), generator=generator)
    device = next(head.parameters()).device
    return DetectedBoxes(*(x.to(device) for x in (boxes, scores, labels, places)))


# Coefficients


def coefficients_everywhere(coefficients: Coefficients, features: Sequence[Tensor], places: Tensor) -> Tensor:
    """The result of `Coefficients.at` for one image and ascending places, from a convolution of all levels."""
    found, start = [], 0
    for x in features:
        y = coefficients.conv(x)
        at = places[(places >= start) & (places < start + y[0, 0].numel())] - start
        found.append(y[0, :, at // y.shape[3], at % y.shape[3]].t())
        start += y[0, 0].numel()
    return torch.cat(found)


def compare_coefficients(
    head: BoxedMaskHead, feats: Sequence[Tensor], shape: tuple[int, int], number: int, *, backward: bool, runs: int
) -> dict:
    """Coefficients at the places of some detections, against all of them of which these are taken.

    Args:
        head: in evaluation mode; it has coefficients.
        feats: the maps that the neck returns, of one image.
        shape: (H, W) of the image.
        number: N.
        backward: go back to features, weights and bias as well.
        runs: timed runs of both, in turns.

    Returns:
        `places`, their number; `pass`; `dense` and `sparse`, each as from `measure`; `difference`, the largest one of
        results and gradients, relative to the largest value.

    Raises:
        ArithmeticError: the results differ.
    """
    coefficients = head.coefficients
    assert coefficients is not None  # or there is nothing to compare
    with torch.no_grad():
        _, features = head.find(feats)
    sizes = [(x.shape[-2], x.shape[-1]) for x in features]
    places = random_detections(head, number, shape, sizes).places.sort().values
    inputs = [x.detach().requires_grad_(backward) for x in features]
    wanted = [*inputs, *coefficients.conv.parameters()]
    upstream = torch.randn(len(places), len(coefficients.conv.get_parameter('bias'))).to(inputs[0])

    def run(form: Callable[[Sequence[Tensor], Tensor], Tensor]) -> list[Tensor]:
        with torch.set_grad_enabled(backward):
            out = form(inputs, places)
            return [out.detach(), *torch.autograd.grad(out, wanted, upstream)] if backward else [out]

    forms = {'dense': partial(run, partial(coefficients_everywhere, coefficients))}
    forms['sparse'] = partial(run, coefficients.at)
    difference = max(
        ((a - b).abs().max() / b.abs().max().clamp(min=1e-12)).item()
        for a, b in zip(forms['sparse'](), forms['dense'](), strict=True)
    )
    if not difference <= TOLERANCE:
        raise ArithmeticError(f'coefficients at {len(places)} places are not those of the convolution: {difference}')
    found = measure(forms, places.device, runs)
    return {'places': len(places), 'pass': PASSES[backward], **found, 'difference': difference}


# Masks


@torch.no_grad()
def time_masks(
    head: BoxedMaskHead, feats: Sequence[Tensor], shape: tuple[int, int], numbers: Sequence[int], runs: int
) -> dict[int, dict]:
    """Everything between the boxes and masks of the image, for several numbers of detections in turns.

    Args:
        head: in evaluation mode; its masks are to be bitmaps.
        feats: the maps that the neck returns, of one image.
        shape: (H, W) of the image.
        numbers: of detections.
        runs: timed runs of each.

    Returns:
        per number a result of `measure`. The `STAGES` are: shared, all that the masks of an image share (bases);
        coefficients, with their tower if they have one; merging, the masks in boxes made of these; pasting.
    """
    pyramid = [feats[level] for level in head.levels]
    maps = head.boxes(pyramid)
    sizes = [(x.shape[-2], x.shape[-1]) for x in pyramid]

    def run(detections: DetectedBoxes) -> None:
        shared = head.shared(feats)
        features = () if head.coefficients is None else head.coefficients.features(pyramid, maps.box_feats)
        logits = head.decode(features, shared, detections, 0)
        head.post_process.paste(logits, detections, img_shape=shape, out_size=shape)

    forms = {number: partial(run, random_detections(head, number, shape, sizes)) for number in numbers}
    return measure(forms, feats[0].device, runs, stages=True)


def table(report: dict[str, Any]) -> str:
    """The report as text."""
    height, width = report['shape']
    lines = [
        heading(report['hardware']),
        f'work      {report["config"]}, 1 image of {height} x {width}, medians of {report["runs"]} runs',
    ]
    if report['coefficients']:
        columns = ('dense ms', 'sparse ms', 'ratio', 'dense MiB', 'sparse MiB', 'ratio', 'difference')
        lines += ['', f'{"coefficients":<32}' + ''.join(f'{name:>12}' for name in columns)]
    for row in report['coefficients']:
        numbers = ''
        for unit in ('ms', 'mib'):
            dense, sparse = row['dense'][unit], row['sparse'][unit]
            numbers += f'{dense:>12.1f}{sparse:>12.1f}{dense / sparse:>12.1f}'
        lines.append(f'{row["places"]:>3} places, {row["pass"]:<20}{numbers}{row["difference"]:>12.1e}')
    lines += ['', f'{"masks":<32}' + ''.join(f'{name:>13}' for name in (*STAGES, 'all ms', 'MiB'))]
    for number, row in report['masks'].items():
        values = (*(row['stages_ms'].get(stage, 0) for stage in STAGES), row['ms'], row['mib'])
        lines.append(f'{number:>3} detections{"":<18}' + ''.join(f'{value:>13.1f}' for value in values))
    ratio = report['masks'][100]['ms'] / report['masks'][10]['ms']
    return '\n'.join([*lines, f'100 / 10 detections: {ratio:.2f}'])
