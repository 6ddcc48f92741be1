"""A2-FPN's neck alone, on random features: by the paper's equations as they are written, and as mmagg computes it."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
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
from mmagg.io.errors import InputError
from mmagg.models.necks import A2FPN

FORMS: dict[str, Callable[[nn.Module], AbstractContextManager]] = {
    'plain': partial(plainly, unfold=True),
    'plain, our reassembly': plainly,
    'mmagg': lambda _: nullcontext(),
}


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
        `hardware`, `config`, `shape`, `train`, and in `forms` what `compare` says of each of `FORMS`.

    Raises:
        InputError: the config cannot be used, its neck is another one, or there is no such device.
    """
    place = usable_device(device)
    settings = load_config(config, cfg_options).model.neck
    torch.manual_seed(0)
    neck = MODELS.build(settings)
    if not isinstance(neck, A2FPN):
        raise InputError(f'{config}: the neck is a {type(neck).__name__}, not an A2FPN')
    neck = neck.to(place)
    neck = neck if train else for_inference(neck)
    stages = random_stages(settings.in_channels, shape, place)

    def levels(form: str) -> list[Tensor]:
        with FORMS[form](neck), torch.set_grad_enabled(train):
            out = neck(stages)
            if train:
                sum(x.sum() for x in out).backward()
        return [x.detach() for x in out]

    return {
        'hardware': hardware(place),
        'config': config,
        'shape': list(shape),
        'train': train,
        'forms': compare({name: partial(levels, name) for name in reversed(FORMS)}, place, runs),
    }


def random_stages(channels: Sequence[int], shape: tuple[int, int], device: torch.device) -> list[Tensor]:
    """The outputs of a backbone's four stages, non-negative as behind a ReLU."""
    generator = torch.Generator().manual_seed(0)
    sizes = [(-(-shape[0] // stride), -(-shape[1] // stride)) for stride in (4, 8, 16, 32)]
    maps = [torch.randn(1, c, *size, generator=generator).relu() for c, size in zip(channels, sizes, strict=True)]
    layout = torch.channels_last if device.type == 'cpu' else torch.contiguous_format
    return [x.to(device).contiguous(memory_format=layout) for x in maps]


def table(report: dict[str, Any]) -> str:
    """The report as text."""
    forms, ours = report['forms'], report['forms']['mmagg']
    largest = forms['plain']['largest']
    lines = [
        heading(report['hardware']),
        f'work      {report["config"]}, {report["shape"][0]} x {report["shape"][1]}, '
        f'{"training" if report["train"] else "inference"}; largest difference '
        f'{max(x["difference"] for x in forms.values()):.1e} of {largest:.1e}',
        '',
        f'{"":<24}{"s":>8}{"MiB":>8}{"mmagg / it":>20}',
    ]
    for name, x in reversed(forms.items()):
        ratios = f'{ours["seconds"] / x["seconds"]:>12.2f}{ours["mib"] / x["mib"]:>8.2f}'
        lines.append(f'{name:<24}{x["seconds"]:>8.3f}{x["mib"]:>8.0f}{ratios}')
    return '\n'.join(lines)
