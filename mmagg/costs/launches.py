"""Launches and waits of a detector on a GPU, counted on a pretended one (`pretended_cuda`)."""

import json
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from mmdet.models.detectors import BaseDetector

from mmagg.apis.checkpoint import number_of_classes
from mmagg.costs import candidates as scores
from mmagg.costs.cuda_guard import enter_guarded, guarded
from mmagg.costs.pretended_cuda import DEVICE, PretendedCUDA, pretended_cuda
from mmagg.costs.random_model import SEED, random_batch, random_model
from mmagg.engine.first_step import FirstStepHook
from mmagg.io.errors import EXPECTED, InputError, lines

CANDIDATES = 300  # of heads of the SOLO family
DETECTIONS = 100  # of those whose boxes come from FCOS
AMP = {'fp16': torch.float16, 'bf16': torch.bfloat16}
LINES = 12  # of a table of places
SHAPE = 800, 1344


class OtherProcessError(Exception):
    """An error of the process that counts; its text is the trace."""


def count_launches(config: str, **options: Any) -> dict[str, Any]:
    """Launches, waits and their places, in a process of its own, since PyTorch must be told of the device early.

    Arguments and result are those of `counted`.

    Raises:
        InputError: the config or another argument cannot be used, or there is no C++ compiler.
    """
    check_shape(options.get('shape', SHAPE))
    with tempfile.TemporaryDirectory(prefix='mmagg-') as folder:
        file = Path(folder, 'report.json')
        command = [sys.executable, '-c', 'from mmagg.costs.launches import main; main()', str(file)]
        done = subprocess.run(
            command,
            input=json.dumps({'config': str(config), **options}),
            text=True,
            stdout=subprocess.DEVNULL,
            env=guarded(),
        )
        if not file.exists():
            raise RuntimeError(f'the process of the pretended GPU ended with {done.returncode}')
        report = json.loads(file.read_text())
    if 'error' in report:
        raise InputError(*report['error']) from OtherProcessError(report['trace'])
    return report


def main() -> None:
    """The process's own part: options from stdin, the report to a file."""
    enter_guarded()
    try:
        report = counted(**json.load(sys.stdin))
    except EXPECTED as error:
        report = {'error': list(lines(error)), 'trace': traceback.format_exc()}
    Path(sys.argv[1]).write_text(json.dumps(report))


def counted(
    config: str,
    *,
    train: bool = False,
    shape: tuple[int, int] = SHAPE,
    candidates: int | None = None,
    batch_size: int = 2,
    objects: int = 10,
    amp: str | None = None,
    cfg_options: dict | None = None,
) -> dict[str, Any]:
    """Launches and waits of a warm model with random weights on random images.

    Args:
        config: config file, ``mmagg::<path>`` or ``mmdet::<path>``.
        train: forward and backward of a training step instead of the prediction of an image.
        shape: (H, W) of the images, multiples of 32.
        candidates: in prediction, as of `benchmark`.
        batch_size: images of a training step.
        objects: in each training image.
        amp: 'fp16' or 'bf16': under autocast.
        cfg_options: changes to the config, dotted keys.

    Returns:
        the arguments, `launches`, `waits`; `parts`, the launches of backbone, neck and the rest; and in `places` for
        each of 'launches' and 'waits' [number, operators or reasons, place], the most frequent first.

    Raises:
        InputError: an argument cannot be used, or the model does not run, on the CPU or by what CUDA refuses.
    """
    check_shape(shape)
    warnings.filterwarnings('ignore', message='torch.meshgrid')  # mmdet's coordinates
    model = random_model(config, cfg_options).train(train)
    first = FirstStepHook()
    with first.watched():
        try:
            make_ready(model, shape, wanted=candidates)
        except ValueError as error:
            raise InputError(f'--candidates, {config}: {error}') from error
    first.begun = True
    run = training_step if train else prediction
    with first.watched(), pretended_cuda() as cuda:
        model.to(DEVICE)
        classes = number_of_classes(model) or 1
        images = batch_size if train else 1
        batch = random_batch(images, shape, num_classes=classes, objects=objects, device=DEVICE, seed=SEED)
        run(model, *batch, amp=amp)
        parts = {'backbone': 0, 'neck': 0}
        cuda.forget()
        with counting_parts(model, cuda, parts):
            run(model, *batch, amp=amp)
        return {
            'config': config,
            'mode': 'training step' if train else 'inference',
            'shape': list(shape),
            'batch_size': images,
            'objects': objects if train else None,
            'amp': amp,
            'launches': cuda.num_launches,
            'waits': cuda.num_waits,
            'parts': parts | {'rest': cuda.num_launches - sum(parts.values())},
            'places': {'launches': by_place(cuda.launches), 'waits': by_place(cuda.waits)},
        }


def check_shape(shape: tuple[int, int]) -> None:
    """Raises InputError for sides that are no multiples of 32."""
    if any(side % 32 for side in shape):
        raise InputError(f'--shape {shape[0]} {shape[1]}: both must be multiples of 32')


def make_ready(model: BaseDetector, shape: tuple[int, int], *, wanted: int | None = None) -> None:
    """Let a detector with random weights on the CPU find `wanted` candidates in a random image of this shape.

    Raises:
        ValueError: there cannot be so many.
    """
    post_process = getattr(getattr(model, 'mask_head', None), 'post_process', None)
    if post_process is not None:
        post_process.mask_format = 'rle'  # as test.py and demo.py run it
    if scores.is_solo(model):
        scores.prepare_masks(model, SEED)
    if model.training:
        return
    inputs, _ = random_batch(1, shape, num_classes=1, objects=1, device='cpu', seed=SEED)
    if scores.is_solo(model):
        scores.set_candidates(model, inputs, wanted or CANDIDATES)
    elif scores.has_fcos_boxes(model):
        scores.set_detections(model, inputs, wanted or DETECTIONS)


@torch.no_grad()
def prediction(model: BaseDetector, inputs: torch.Tensor, samples: list, *, amp: str | None = None) -> list:
    """The predictions of a batch on the device."""
    with autocast(amp):
        return model.predict(inputs, samples, rescale=True)


def training_step(
    model: BaseDetector, inputs: torch.Tensor, samples: list, *, amp: str | None = None
) -> dict[str, torch.Tensor]:
    """The losses of a batch on the device; the parameters have its gradients."""
    model.zero_grad(set_to_none=True)
    # Anomaly detection remembers where an operator of the graph was called.
    with torch.autograd.set_detect_anomaly(True, check_nan=False):
        with autocast(amp):
            losses = model.loss(inputs, samples)
        total = sum(x for values in losses.values() for x in (values if isinstance(values, list) else [values]))
        assert isinstance(total, torch.Tensor)
        total.backward()
    return losses


def autocast(amp: str | None) -> Any:
    """CUDA's autocast to a dtype of `AMP`; None for none."""
    return nullcontext() if amp is None else torch.autocast('cuda', AMP[amp])


@contextmanager
def counting_parts(model: BaseDetector, cuda: PretendedCUDA, parts: dict[str, int]) -> Iterator[None]:
    """Within the block launches of the forward pass of some children are added to ``parts``, by the child's name."""
    before: dict[str, int] = {}

    def begin(name: str) -> Callable:
        return lambda *_: before.__setitem__(name, cuda.num_launches)

    def end(name: str) -> Callable:
        return lambda *_: parts.__setitem__(name, parts[name] + cuda.num_launches - before[name])

    there = [(name, module) for name in parts if (module := getattr(model, name, None)) is not None]
    hooks = [module.register_forward_pre_hook(begin(name)) for name, module in there]
    hooks += [module.register_forward_hook(end(name)) for name, module in there]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def by_place(counts: dict[tuple[str, str], int]) -> list[tuple[int, str, str]]:
    """Counts by name and place -> [number, names, place], the most frequent first."""
    places: dict[str, dict[str, int]] = {}
    for (name, place), number in counts.items():
        places.setdefault(place, {})[name] = number
    rows = [(sum(names.values()), ', '.join(sorted(names)), place) for place, names in places.items()]
    return sorted(rows, key=lambda row: (-row[0], row[2]))


def table(report: dict[str, Any]) -> str:
    """The report as text."""
    height, width = report['shape']
    objects = f' with {report["objects"]} objects' if report['objects'] is not None else ''
    lines = [
        f'work      {report["config"]}, {report["mode"]}, {report["batch_size"]} x {height} x {width}{objects}'
        f'{"" if report["amp"] is None else ", " + report["amp"]}',
        'device    pretended; every operator counts as one launch',
        f'launches  {report["launches"]}: ' + ', '.join(f'{name} {n}' for name, n in report['parts'].items()),
        f'waits     {report["waits"]}',
    ]
    for kind in ('waits', 'launches'):
        rows = report['places'][kind]
        shown = rows if kind == 'waits' else rows[:LINES]
        lines += ['', f'{kind} by place' if len(shown) == len(rows) else f'{kind} by place, the {LINES} of most']
        lines += [f'{number:>6}  {place}  [{cut(names)}]' for number, names, place in shown]
    return '\n'.join(lines)


def cut(text: str, length: int = 60) -> str:
    """A text that is not too long for a line."""
    return text if len(text) <= length else f'{text[: length - 1]}…'
