"""Time by stage and peak memory of one detector or two, with random weights on random images; or of exported models."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any, Protocol

import numpy as np
import torch
from mmdet.models.detectors import BaseDetector
from tqdm import tqdm

from mmagg.apis.checkpoint import number_of_classes
from mmagg.apis.compilation import compile_parts
from mmagg.apis.exported_options import is_exported, refuse_exported_options, refuse_torch_options
from mmagg.apis.hardware import hardware, usable_device
from mmagg.apis.inference import for_inference
from mmagg.costs import candidates as scores
from mmagg.costs import stage_times
from mmagg.costs.exported_work import ExportedWork
from mmagg.costs.memory import MIB
from mmagg.costs.random_model import MASK_FORMAT, SEED, random_batch, random_model
from mmagg.costs.resident import growth
from mmagg.costs.timing import in_turns
from mmagg.engine.first_step import FirstStepHook
from mmagg.io.errors import InputError
from mmagg.weights.key_maps import mmdet_to_mmagg

CANDIDATES = 300  # of heads of the SOLO family
DETECTIONS = 100  # of those whose boxes come from FCOS
LAYOUTS = {'contiguous': torch.contiguous_format, 'channels_last': torch.channels_last}
# Sums of stages that are printed as rows of their own.
INFERENCE_SUMS = {
    'head to RLE': ('head', 'decode', 'context', 'aggregation', 'post', 'RLE'),
    'total': stage_times.INFERENCE_STAGES,
}
TRAINING_SUMS = {
    'head + loss': ('towers forward', 'after towers', 'towers backward'),
    'step': stage_times.TRAINING_STAGES,
}


def benchmark(
    config: str,
    *,
    vs: str | None = None,
    shape: tuple[int, int] = (800, 1216),
    candidates: int | None = None,
    train: bool = False,
    batch_size: int = 2,
    objects: int = 10,
    runs: int = 5,
    layout: str = 'tool',
    device: str = 'cpu',
    cfg_options: dict | None = None,
    compile: bool = False,
    threads: int | None = None,
    runtime: str | None = None,
) -> dict[str, Any]:
    """Median time of each stage and peak memory of a model, or of two in turns, with the same weights where they fit.

    Args:
        config: config file, ``mmagg::<path>`` or ``mmdet::<path>``; or the file of an exported model, whose weights are
            those in it.
        vs: another one to compare with.
        shape: (H, W) of the images, multiples of 32.
        candidates: in inference, candidates of heads of the SOLO family (None: `CANDIDATES`), or boxes that are found
            where they come from FCOS (None: `DETECTIONS`); not for other heads.
        train: a training step instead of inference.
        batch_size: images of a training step; inference has one.
        objects: in each training image.
        runs: timed runs of each model.
        layout: 'contiguous' or 'channels_last' weights, or 'tool': as each project's own tools run the model, which is
            contiguous, but channels_last for inference on the CPU with ours.
        device: e.g. cuda:0.
        cfg_options: changes to the configs, both of them, dotted keys.
        compile: `torch.compile` for the backbone, the neck and the towers.
        threads: of the CPU, for PyTorch and for an exported model's runtime.
        runtime: of exported models, as of `Segmenter`.

    Returns:
        `hardware`, `mode`, `batch_size`, `shape`, `objects`, `runs`, `weights` (whether they are the same), and per
        model in `models` its `config`, `layout`, `memory_mib` by part, `runs_ms` and `median_ms` by stage; in inference
        also `instances` found, and `candidates` where they can be set. With an exported model, `memory_mib` is that of
        the process, where the system tells it, as runtimes do not say what they allocate.

    Raises:
        InputError: a config cannot be used, or not with the other arguments; or there is no such device.
    """
    if any(side % 32 for side in shape):
        raise InputError(f'--shape {shape[0]} {shape[1]}: both must be multiples of 32')
    if threads is not None:
        torch.set_num_threads(threads)
    configs = [str(config)] + ([str(vs)] if vs else [])
    exported = list(filter(is_exported, configs))
    _check_exported(configs, exported, cfg_options, train=train, device=device, compile=compile, runtime=runtime)
    place = usable_device(device)
    warnings.filterwarnings('ignore', message='torch.meshgrid')  # mmdet's coordinates
    names = [name for name in configs if name not in exported]
    models = [_build(name, cfg_options, wanted=None if train else candidates) for name in names]
    models = [model.to(place).train(train) for model in models]
    weights = _give_weights(models)
    for i, (name, model) in enumerate(zip(names, models, strict=True)):
        if not train and not name.startswith('mmdet::'):
            model = for_inference(model)
        if compile:
            compile_parts(model)
        models[i] = model if layout == 'tool' else model.to(memory_format=LAYOUTS[layout])
    images = batch_size if train else 1
    torch_work = []
    for name, model in zip(names, models, strict=True):
        classes = number_of_classes(model) or 1
        batch = random_batch(images, shape, num_classes=classes, objects=objects, device=place, seed=SEED)
        contiguous = all(p.is_contiguous() for p in model.parameters())
        entry = {'config': name, 'layout': 'contiguous' if contiguous else 'channels_last'}
        torch_work.append(_TorchWork(model, batch, entry, train=train, resident=bool(exported)))
    if not train:
        for one in tqdm(torch_work, desc='candidates', unit='model', leave=False):
            with FirstStepHook().watched():
                _set_candidates(one.model, one.batch[0], one.entry, candidates)
    by_name: dict[str, Work] = dict(zip(names, torch_work, strict=True))
    if exported:
        image = random_image(shape)
        by_name |= {name: ExportedWork(name, image, runtime=runtime, threads=threads) for name in exported}
    work = [by_name[name] for name in configs]
    _measure(work, runs)
    return {
        'hardware': hardware(place),
        'mode': 'training step' if train else 'inference',
        'batch_size': images,
        'shape': list(shape),
        'objects': objects if train else None,
        'runs': runs,
        'weights': weights,
        'models': [one.entry for one in work],
    }


def _build(config: str, cfg_options: dict | None, *, wanted: int | None) -> BaseDetector:
    """The model to measure, of which so many candidates are wanted."""
    model = random_model(config, cfg_options)
    if wanted and not (scores.is_solo(model) or scores.has_fcos_boxes(model)):
        raise InputError(f'--candidates: the head of {config} is not of the SOLO family, and its boxes not from FCOS')
    post_process = getattr(getattr(model, 'mask_head', None), 'post_process', None)
    if post_process is not None and MASK_FORMAT not in (cfg_options or {}):
        post_process.mask_format = 'rle'  # as test.py and demo.py run it
    return model


def _give_weights(models: Sequence[BaseDetector]) -> str | None:
    """Prepare the heads, and give both models the same weights if they fit strictly; returns in words what was done."""
    for model in models:
        if scores.is_solo(model):
            scores.prepare_masks(model, SEED)
    if len(models) < 2:
        return None

    def shapes(state: dict) -> dict:
        return {name: value.shape for name, value in state.items()}

    for target, source in (models, models[::-1]):
        state = source.state_dict()
        renamed = mmdet_to_mmagg(state)
        for given, how in ((state, 'the same in both'), (renamed, "the same in both (mmdet's, renamed)")):
            if shapes(given) == shapes(target.state_dict()):
                target.load_state_dict(given, strict=True)
                return how
    return "not the same: one model's do not fit the other"


def _set_candidates(model: BaseDetector, inputs: torch.Tensor, entry: dict[str, Any], wanted: int | None) -> None:
    """Set the number of candidates where that is possible, and note it in the model's entry."""
    try:
        if scores.is_solo(model):
            entry['candidates'] = scores.set_candidates(model, inputs, wanted or CANDIDATES)
        elif scores.has_fcos_boxes(model):
            entry['candidates'] = scores.set_detections(model, inputs, wanted or DETECTIONS)
    except ValueError as error:
        raise InputError(f'--candidates, {entry["config"]}: {error}') from error


def random_image(shape: tuple[int, int]) -> np.ndarray:
    """The random image of an inference, (H, W, 3) uint8, as it was before its normalisation."""
    (image,), _ = random_batch(1, shape, num_classes=1, objects=1, device='cpu', seed=SEED)
    return (58 * image + 116).clip(0, 255).byte().permute(1, 2, 0).contiguous().numpy()


class Work(Protocol):
    """A model with what it is to compute, and what the report says of it."""

    entry: dict[str, Any]
    sums: Mapping[str, Sequence[str]]

    def memory(self) -> dict[str, float]:
        """Bytes by part."""

    def time(self) -> dict[str, float]:
        """Seconds by stage."""


@dataclass
class _TorchWork:
    model: BaseDetector
    batch: tuple
    entry: dict[str, Any]
    train: bool
    resident: bool  # measure the process, as of an exported model
    sums: Mapping[str, Sequence[str]] = field(init=False)

    def __post_init__(self) -> None:
        self.sums = TRAINING_SUMS if self.train else INFERENCE_SUMS

    def memory(self) -> dict[str, float]:
        measure = stage_times.training_memory if self.train else stage_times.inference_memory
        with FirstStepHook().watched():
            parts = measure(self.model, *self.batch)
            grown = growth(self.time) if self.resident else None
        return parts if grown is None else parts | {'process': grown}

    def time(self) -> dict[str, float]:
        if self.train:
            return stage_times.time_training(self.model, *self.batch)
        seconds, self.entry['instances'] = stage_times.time_inference(self.model, *self.batch)
        return seconds


def _check_exported(
    configs: Sequence[str],
    exported: Sequence[str],
    cfg_options: dict | None,
    *,
    train: bool,
    device: str,
    compile: bool,
    runtime: str | None,
) -> None:
    """Refuse arguments that mean nothing to exported models, or are for them alone."""
    for name in exported:
        refuse_torch_options(name, {'device': device})
        if train:
            raise InputError(f'{name}: an exported model is not trained: leave out --train')
        if len(exported) == len(configs):
            refuse_torch_options(name, {'cfg_options': cfg_options, 'compile': compile})
    if not exported:
        refuse_exported_options(None, None, runtime)


def _measure(work: Sequence[Work], runs: int) -> None:
    """Fill the entry of each: memory first; then times, the models taking turns."""
    for one in tqdm(work, desc='memory', unit='model', leave=False):
        one.entry['memory_mib'] = {part: size / MIB for part, size in one.memory().items()}

    def milliseconds(one: Work) -> dict[str, float]:
        stages = {stage: 1000 * value for stage, value in one.time().items()}
        return stages | {name: sum(stages[part] for part in of) for name, of in one.sums.items()}

    measured = in_turns({i: partial(milliseconds, one) for i, one in enumerate(work)}, runs)
    for i, one in enumerate(work):
        one.entry['runs_ms'] = measured[i]
        one.entry['median_ms'] = {stage: median(run[stage] for run in measured[i]) for stage in measured[i][0]}


def table(report: dict[str, Any]) -> str:
    """The report as text: what was measured, then a row per stage and a column per model."""
    models, machine = report['models'], report['hardware']
    letters = 'AB'[: len(models)]
    height, width = report['shape']
    lines = [
        f'hardware  {machine["cpu"]}, {machine["cores"]} cores, {machine["threads"]} threads'
        + (f'; {machine["gpu"]}' if machine['gpu'] else ''),
        f'software  torch {machine["torch"]}, Python {machine["python"]}',
        f'input     {report["batch_size"]} × 3 × {height} × {width}'
        + (f', {report["objects"]} objects per image' if report['objects'] else ''),
    ]
    for letter, model in zip(letters, models, strict=True):
        found = [f'{model[what]} {what}' for what in ('candidates', 'instances') if what in model]
        lines.append(f'{letter}         {model["config"]}: {", ".join([*found, model["layout"]])}')
    if report['weights']:
        lines.append(f'weights   {report["weights"]}')
    title = f'{report["mode"]} [ms], median of {report["runs"]}'
    for name, key in ((title, 'median_ms'), ('peak memory [MiB]', 'memory_mib')):
        heads = ''.join(f'{letter:>12}' for letter in letters) + (f'{"A / B":>10}' if len(models) == 2 else '')
        lines += ['', f'{name:<36}{heads}', *_rows([model[key] for model in models])]
    return '\n'.join(lines)


def _rows(columns: Sequence[dict[str, float]]) -> list[str]:
    """A row per key that any column has a value of; with two columns their ratio as well. The total comes last."""
    lines = []
    keys = dict.fromkeys(key for column in columns for key in column)
    for key in sorted(keys, key=lambda key: key == 'total'):
        values = [column.get(key) for column in columns]
        if any(values):
            line = f'{key:<36}' + ''.join(f'{"–":>12}' if value is None else f'{value:>12.1f}' for value in values)
            if len(values) == 2:
                first, second = values
                line += f'{first / second:>10.2f}' if first is not None and second else f'{"–":>10}'
            lines.append(line)
    return lines
