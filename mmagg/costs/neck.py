"""A2-FPN's neck alone, on random features: by the paper's equations as they are written, and as mmagg computes it."""

from functools import partial
from typing import Any

import torch
from mmdet.registry import MODELS
from torch import Tensor, nn

from mmagg.apis.config import load_config
from mmagg.apis.hardware import hardware, usable_device
from mmagg.apis.inference import for_inference
from mmagg.costs.plain_a2fpn import plainly
from mmagg.costs.timing import compare, heading
from mmagg.io.errors import InputError, building
from mmagg.models.necks import A2FPN

STRIDES = (4, 8, 16, 32)  # of a backbone's four stages


def benchmark_neck(
    config: str,
    *,
    shape: tuple[int, int] = (800, 1344),
    train: bool = False,
    runs: int = 3,
    device: str = 'cpu',
    cfg_options: dict | None = None,
) -> dict[str, Any]:
    """Time and peak memory of a config's `A2FPN`.

    Args:
        config: config file.
        shape: (H, W) of the image.
        train: forward and backward instead of inference.
        runs: timed runs of each form, in turns.
        device: e.g. cuda:0.
        cfg_options: changes to the config, dotted keys.

    Returns:
        `hardware`, `config`, `shape`, `train`, and in `forms` the results of `compare` for our neck ('mmagg'), the
        paper's equations as they are written ('plain'), and these with our reassembly ('plain, our reassembly').

    Raises:
        InputError: the config cannot be used, its neck is another one, or there is no such device.
    """
    place = usable_device(device)
    settings = load_config(config, cfg_options, reads={'model'}).model.neck
    torch.manual_seed(0)
    with building():
        neck = MODELS.build(settings)
    if not isinstance(neck, A2FPN):
        raise InputError(f'{config}: the neck is a {type(neck).__name__}, not an A2FPN')
    neck = neck.to(place)
    neck = neck if train else for_inference(neck)
    forms = {'mmagg': neck, 'plain, our reassembly': plainly(neck), 'plain': plainly(neck, unfold=True)}
    # Non-negative, as behind a ReLU.
    generator = torch.Generator().manual_seed(0)
    layout = torch.channels_last if place.type == 'cpu' else torch.contiguous_format
    stages = []
    for channels, stride in zip(settings.in_channels, STRIDES, strict=True):
        x = torch.randn(1, channels, *(-(-side // stride) for side in shape), generator=generator).relu()
        stages.append(x.to(place).contiguous(memory_format=layout))

    def levels(form: nn.Module) -> list[Tensor]:
        with torch.set_grad_enabled(train):
            out = form(stages)
            if train:
                sum(x.sum() for x in out).backward()
        return [x.detach() for x in out]

    return {
        'hardware': hardware(place),
        'config': config,
        'shape': list(shape),
        'train': train,
        'forms': compare({name: partial(levels, form) for name, form in forms.items()}, place, runs),
    }


def table(report: dict[str, Any]) -> str:
    """The report as text."""
    forms, ours, (height, width) = report['forms'], report['forms']['mmagg'], report['shape']
    lines = [
        heading(report['hardware']),
        f'work      {report["config"]}, {height} x {width}, {"training" if report["train"] else "inference"}; largest '
        f'difference {max(x["difference"] for x in forms.values()):.1e} of {forms["plain"]["largest"]:.1e}',
        '',
        f'{"":<24}{"s":>8}{"MiB":>8}{"mmagg / it":>20}',
    ]
    for name, x in reversed(forms.items()):
        ratios = f'{ours["ms"] / x["ms"]:>12.2f}{ours["mib"] / x["mib"]:>8.2f}'
        lines.append(f'{name:<24}{x["ms"] / 1e3:>8.3f}{x["mib"]:>8.0f}{ratios}')
    return '\n'.join(lines)
