"""What masks add to boxes (BlendMask, MEInst): coefficients at a few places or everywhere, masks of N detections.

Shape shorthand: N detections or places, C channels, (h, w) size of a level, D coefficients.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate
from statistics import median

import torch
from torch import Tensor, nn

from mmagg.costs.memory import MIB, MemoryMeter
from mmagg.engine.stages import StageClock
from mmagg.models.heads import BoxedMaskHead
from mmagg.models.masks import Coefficients
from mmagg.models.postprocess import DetectedBoxes

PASSES = ('forward', 'forward + backward')
STAGES = ('shared', 'coefficients', 'merging', 'pasting')
SMALLEST, LARGEST = 0.03, 0.6  # roots of the boxes' areas, of the image's short side
ASPECT = 0.25  # largest logarithm of the root of a box's aspect ratio
TOLERANCE = 1e-2  # relative; convolutions on a GPU may round to ten bits


# What goes in


@torch.no_grad()
def random_pyramid(model: nn.Module, shape: tuple[int, int]) -> list[Tensor]:
    """Random maps as a detector's neck returns them for an image of `shape` (H, W): of their sizes and layouts."""
    generator = torch.Generator().manual_seed(0)
    feats = model.extract_feat(next(model.parameters()).new_zeros(1, 3, *shape))
    return [torch.empty_like(x).copy_(torch.randn(x.shape, generator=generator)) for x in feats]


def random_detections(
    head: BoxedMaskHead, number: int, shape: tuple[int, int], sizes: Sequence[tuple[int, int]]
) -> DetectedBoxes:
    """Detections of all sizes in random places of an image.

    Args:
        head: whose locations they are found at: of the level that learns boxes of their size, in their middle.
        number: N.
        shape: (H, W) of the image.
        sizes: (h, w) of the levels.
    """
    generator = torch.Generator().manual_seed(number)
    limits = min(shape) * torch.tensor([SMALLEST, LARGEST])
    steps = (torch.arange(number) + 0.5) / number
    root = torch.exp(torch.lerp(*limits.log(), steps))[torch.randperm(number, generator=generator)]
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
    return DetectedBoxes(boxes.to(device), scores.to(device), labels.to(device), places.to(device))


# Coefficients


def coefficients_everywhere(coefficients: Coefficients, features: Sequence[Tensor], places: Tensor) -> Tensor:
    """What `Coefficients.at` returns, from a convolution of all levels.

    Args:
        coefficients: the layer.
        features: its input, (1, C, h, w) per level.
        places: (N,) long, ascending.
    """
    found, start = [], 0
    for x in features:
        y = coefficients.conv(x)
        at = places[(places >= start) & (places < start + y[0, 0].numel())] - start
        found.append(y[0, :, at // y.shape[3], at % y.shape[3]].t())
        start += y[0, 0].numel()
    return torch.cat(found)


def compare_coefficients(
    head: BoxedMaskHead,
    feats: Sequence[Tensor],
    shape: tuple[int, int],
    number: int,
    *,
    backward: bool,
    runs: int,
) -> dict:
    """Coefficients at the places of some detections, against all of them of which these are taken.

    Args:
        head: in evaluation mode; it has coefficients.
        feats: what the neck returns, of one image.
        shape: (H, W) of the image.
        number: N.
        backward: go back to features, weights and bias as well.
        runs: timed runs of both, in turns.

    Returns:
        `places`, their number; `pass`; `dense` and `sparse`, what `measured` says of them; `difference`, the largest
        one of results and gradients, relative to the largest value.

    Raises:
        ArithmeticError: the results differ.
    """
    coefficients = head.coefficients
    with torch.no_grad():
        _, features = head.find(feats)
    found = random_detections(head, number, shape, [x.shape[-2:] for x in features])
    places = found.places.sort().values
    inputs = [x.detach().requires_grad_(backward) for x in features]
    wanted = [*inputs, *coefficients.conv.parameters()]
    upstream = torch.randn(len(places), coefficients.conv.out_channels).to(inputs[0])

    def run(form: Callable[[Sequence[Tensor], Tensor], Tensor]) -> list[Tensor]:
        with torch.set_grad_enabled(backward):
            out = form(inputs, places)
            return [out.detach(), *torch.autograd.grad(out, wanted, upstream)] if backward else [out]

    forms = {'dense': lambda *args: coefficients_everywhere(coefficients, *args), 'sparse': coefficients.at}
    difference = max(
        ((a - b).abs().max() / b.abs().max().clamp(min=1e-12)).item()
        for a, b in zip(run(forms['sparse']), run(forms['dense']), strict=True)
    )
    if not difference <= TOLERANCE:
        raise ArithmeticError(f'coefficients at {len(places)} places are not those of the convolution: {difference}')
    runs_of = {name: lambda _, form=form: run(form) for name, form in forms.items()}
    return {
        'places': len(places),
        'pass': PASSES[backward],
        **measured(runs_of, places.device, runs),
        'difference': difference,
    }


# Masks


@torch.no_grad()
def time_masks(
    head: BoxedMaskHead, feats: Sequence[Tensor], shape: tuple[int, int], numbers: Sequence[int], runs: int
) -> dict[int, dict]:
    """Everything between the boxes and masks of the image, for several numbers of detections in turns.

    Args:
        head: in evaluation mode; its masks are to be bitmaps.
        feats: what the neck returns, of one image.
        shape: (H, W) of the image.
        numbers: of detections.
        runs: timed runs of each.

    Returns:
        per number what `measured` says. The `STAGES` are: shared, what all masks of an image share (bases);
        coefficients, with their tower if they have one; merging, what makes masks in boxes of these; pasting.
    """
    pyramid = [feats[level] for level in head.levels]
    maps = head.boxes(pyramid)
    sizes = [x.shape[-2:] for x in pyramid]

    def run(clock: StageClock, detections: DetectedBoxes) -> None:
        places = [
            (head.masks, 'features', 'shared'),
            (head, 'decode', 'merging'),
            (head.post_process, 'paste', 'pasting'),
        ]
        if head.coefficients is not None:
            places += [(head.coefficients, name, 'coefficients') for name in ('features', 'at')]
        with clock.watch(places):
            shared = head.masks.features(feats)
            features = () if head.coefficients is None else head.coefficients.features(pyramid, maps.box_feats)
            logits = head.decode(features, shared, detections, 0)
            head.post_process.paste(logits, detections, img_shape=shape, out_size=shape)

    detections = {number: random_detections(head, number, shape, sizes) for number in numbers}
    forms = {number: lambda clock, found=found: run(clock, found) for number, found in detections.items()}
    return measured(forms, feats[0].device, runs)


# Both


def measured(forms: dict, device: torch.device, runs: int) -> dict:
    """Time and memory of several forms of a computation.

    They take turns, and each timed run follows one of the same form that is not timed: what the other one left in
    caches and allocator is not to be measured.

    Args:
        forms: by name; each is called with a `StageClock`, and may charge it with stages.
        device: where they run.
        runs: timed runs of each.

    Returns:
        per form `mib`, the peak memory above that at its start; `ms`, the median time; `stages_ms`, that of its stages.
    """
    mib, clocks = {}, {name: [] for name in forms}
    for name, form in forms.items():
        with MemoryMeter(device) as meter:
            form(StageClock(device))
        mib[name] = meter.peak() / MIB
    for _ in range(runs):
        for name, form in forms.items():
            for clock in (StageClock(device), StageClock(device)):  # the first one warms up
                with clock.stage('rest'):
                    form(clock)
            clocks[name].append(clock)
    return {
        name: {
            'mib': mib[name],
            'ms': 1e3 * median(clock.total for clock in clocks[name]),
            'stages_ms': {
                stage: 1e3 * median(clock.seconds[stage] for clock in clocks[name]) for stage in clocks[name][0].seconds
            },
        }
        for name in forms
    }
