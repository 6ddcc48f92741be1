"""Time by stage and peak memory of one model or two, as ``tools/analysis/benchmark.py`` offers it."""

import argparse
import warnings
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import torch
from torch import nn
from tqdm import tqdm

from mmagg.apis.checkpoint import number_of_classes
from mmagg.apis.compilation import compile_parts
from mmagg.apis.hardware import hardware
from mmagg.apis.inference import for_inference
from mmagg.cli.arguments import add_cfg_options, add_compile_flag, positive
from mmagg.convert.key_maps import mmdet_to_mmagg
from mmagg.costs import candidates
from mmagg.costs import stage_times as measure
from mmagg.costs.memory import MIB
from mmagg.costs.random_model import SEED, random_model
from mmagg.io.errors import InputError
from mmagg.io.files import write_json

CANDIDATES = 300  # of heads of the SOLO family
DETECTIONS = 100  # of those whose boxes come from FCOS
LAYOUTS = {'contiguous': torch.contiguous_format, 'channels_last': torch.channels_last}
# Sums of stages that are printed as rows of their own.
INFERENCE_SUMS = {
    'head to RLE': ('head', 'decode', 'context', 'aggregation', 'post', 'RLE'),
    'total': measure.INFERENCE_STAGES,
}
TRAINING_SUMS = {
    'head + loss': ('towers forward', 'after towers', 'towers backward'),
    'step': measure.TRAINING_STAGES,
}


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/benchmark.py``."""
    parser = argparse.ArgumentParser(
        description='Time of each stage (median of warm runs) and peak memory of a model with random weights on random '
        'images; with --vs of two models in turns, with the same weights where they fit.',
        epilog='example: python tools/analysis/benchmark.py configs/solo/solo_r50_fpn_1x_coco.py '
        '--vs mmdet::solo/solo_r50_fpn_1x_coco.py --train',
    )
    parser.add_argument('config', help='config file, or mmdet::<path> for one of mmdet')
    parser.add_argument('--vs', metavar='CONFIG2', help='compare with this config; ratios are CONFIG / CONFIG2')
    parser.add_argument(
        '--shape',
        type=positive,
        nargs=2,
        default=(800, 1216),
        metavar=('H', 'W'),
        help='size of the images, multiples of 32 (800 1216)',
    )
    parser.add_argument(
        '--candidates',
        type=positive,
        metavar='N',
        help=f'in inference, let N masks be candidates in heads of the SOLO family ({CANDIDATES}), and find N boxes '
        f'where they come from FCOS ({DETECTIONS}); not for other heads',
    )
    parser.add_argument('--train', action='store_true', help='measure a training step instead of inference')
    parser.add_argument(
        '--batch-size',
        type=positive,
        default=2,
        metavar='B',
        help='images of a training step (%(default)s); inference has one',
    )
    parser.add_argument(
        '--objects', type=positive, default=10, metavar='N', help='objects per training image (%(default)s)'
    )
    parser.add_argument('--runs', type=positive, default=5, metavar='R', help='timed runs of each model (%(default)s)')
    parser.add_argument(
        '--layout',
        choices=['tool', *LAYOUTS],
        default='tool',
        help="memory layout of the weights; 'tool': as each project's own tools run the model, which is contiguous, "
        'but channels_last for inference on the CPU with ours (%(default)s)',
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='write everything measured here as well')
    parser.add_argument('--device', default='cpu', help='e.g. cuda:0 (%(default)s)')
    parser.add_argument('--threads', type=positive, metavar='T', help='CPU threads of PyTorch')
    add_cfg_options(parser, 'change the configs (both of them), e.g. model.backbone.depth=18')
    add_compile_flag(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Measure as the arguments of `parser` say."""
    if any(side % 32 for side in args.shape):
        raise InputError(f'--shape {args.shape[0]} {args.shape[1]}: both must be multiples of 32')
    if args.json is not None and args.json.is_dir():
        raise InputError(f'--json {args.json}: is a folder, name a file')
    try:
        torch.empty(0, device=args.device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f'--device {args.device}: {str(error).splitlines()[0]}') from error
    warnings.filterwarnings('ignore', message='torch.meshgrid')  # mmdet's coordinates
    if args.threads:
        torch.set_num_threads(args.threads)
    configs = [args.config] + ([args.vs] if args.vs else [])
    models = [_build(config, args) for config in configs]
    weights = _give_weights(models)
    models = [_prepared(model, config, args) for model, config in zip(models, configs, strict=True)]
    report = {
        'hardware': hardware(args.device),
        'mode': 'training step' if args.train else 'inference',
        'batch_size': args.batch_size if args.train else 1,
        'shape': list(args.shape),
        'objects': args.objects if args.train else None,
        'runs': args.runs,
        'weights': weights,
        'models': [{'config': config, 'layout': _layout(model)} for config, model in zip(configs, models, strict=True)],
    }
    batches = [_batch(model, args) for model in models]
    if not args.train:
        _set_candidates(models, batches, report['models'], args.candidates)
    _measure(models, batches, report, train=args.train)
    print(table(report))
    if args.json is not None:
        write_json(report, args.json)
        print(f'written to {args.json}')


def _build(config: str, args: argparse.Namespace) -> nn.Module:
    """The model to measure."""
    model = random_model(config, args.cfg_options)
    if args.candidates and not args.train and not (candidates.is_solo(model) or candidates.has_fcos_boxes(model)):
        raise InputError(f'--candidates: the head of {config} is not of the SOLO family, and its boxes not from FCOS')
    post_process = getattr(getattr(model, 'mask_head', None), 'post_process', None)
    if post_process is not None:
        post_process.mask_format = 'rle'  # as test.py and demo.py run it
    return model.to(args.device).train(args.train)


def _prepared(model: nn.Module, config: str, args: argparse.Namespace) -> nn.Module:
    """The model as its project's tools run it, with the layout that was asked for."""
    if not args.train and not config.startswith('mmdet::'):
        model = for_inference(model)
    if args.compile:
        compile_parts(model)
    return model if args.layout == 'tool' else model.to(memory_format=LAYOUTS[args.layout])


def _layout(model: nn.Module) -> str:
    """The memory layout of a model's weights."""
    return 'contiguous' if all(p.is_contiguous() for p in model.parameters()) else 'channels_last'


def _give_weights(models: Sequence[nn.Module]) -> str | None:
    """Prepare the heads, and give both models the same weights if they fit strictly; returns in words what was done."""
    for model in models:
        if candidates.is_solo(model):
            candidates.prepare_masks(model, SEED)
    if len(models) == 1:
        return None
    ours, theirs = models
    for target, source in ((ours, theirs), (theirs, ours)):
        for state, how in (
            (source.state_dict(), 'the same in both'),
            (mmdet_to_mmagg(source.state_dict()), "the same in both (mmdet's, renamed)"),
        ):
            if _shapes(state) == _shapes(target.state_dict()):
                target.load_state_dict(state, strict=True)
                return how
    return "not the same: one model's do not fit the other"


def _shapes(state: dict) -> dict:
    return {name: value.shape for name, value in state.items()}


def _batch(model: nn.Module, args: argparse.Namespace) -> tuple:
    """The batch to measure a model on; the same for all models of as many classes."""
    return measure.random_batch(
        args.batch_size if args.train else 1,
        tuple(args.shape),
        num_classes=number_of_classes(model) or 1,
        objects=args.objects,
        device=args.device,
        seed=SEED,
    )


def _set_candidates(
    models: Sequence[nn.Module], batches: Sequence[tuple], entries: list[dict], wanted: int | None
) -> None:
    """Set the number of candidates where that is possible, and note it in ``entries``."""
    work = list(zip(models, batches, entries, strict=True))
    for model, (inputs, _), entry in tqdm(work, desc='candidates', unit='model', leave=False):
        try:
            if candidates.is_solo(model):
                entry['candidates'] = candidates.set_candidates(model, inputs, wanted or CANDIDATES)
            elif candidates.has_fcos_boxes(model):
                entry['candidates'] = candidates.set_detections(model, inputs, wanted or DETECTIONS)
        except ValueError as error:
            raise InputError(f'--candidates, {entry["config"]}: {error}') from error


def _measure(models: Sequence[nn.Module], batches: Sequence[tuple], report: dict, *, train: bool) -> None:
    """Fill ``report['models']``: memory first; then times, the models taking turns.

    Nobody alternates between two models: what the other one left in caches and allocator is not to be measured. So each
    timed run follows one of the same model that is not timed.
    """
    entries = report['models']
    sums = TRAINING_SUMS if train else INFERENCE_SUMS
    with tqdm(total=len(models) * (1 + report['runs']), desc='benchmark', unit='run', leave=False) as bar:
        for model, batch, entry in zip(models, batches, entries, strict=True):
            memory = measure.training_memory if train else measure.inference_memory
            entry['memory_mib'] = {part: size / MIB for part, size in memory(model, *batch).items()}
            entry['runs_ms'] = []
            bar.update()
        for _ in range(report['runs']):
            for model, batch, entry in zip(models, batches, entries, strict=True):
                for _ in ('warm-up', 'timed'):
                    if train:
                        seconds = measure.time_training(model, *batch)
                    else:
                        seconds, entry['instances'] = measure.time_inference(model, *batch)
                stages = {stage: 1000 * value for stage, value in seconds.items()}
                entry['runs_ms'].append(stages | {name: sum(stages[part] for part in of) for name, of in sums.items()})
                bar.update()
    for entry in entries:
        runs = entry['runs_ms']
        entry['median_ms'] = {stage: median(run[stage] for run in runs) for stage in runs[0]}


# Printing


def table(report: dict) -> str:
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
        found.append(model['layout'])
        lines.append(f'{letter}         {model["config"]}: {", ".join(found)}')
    if report['weights']:
        lines.append(f'weights   {report["weights"]}')
    title = f'{report["mode"]} [ms], median of {report["runs"]}'
    lines += ['', *_rows(title, letters, [model['median_ms'] for model in models])]
    lines += ['', *_rows('peak memory [MiB]', letters, [model['memory_mib'] for model in models])]
    return '\n'.join(lines)


def _rows(title: str, letters: str, columns: Sequence[dict[str, float]]) -> list[str]:
    """A heading and a row per key; with two columns their ratio as well."""
    ratio = len(columns) == 2
    lines = [f'{title:<36}' + ''.join(f'{letter:>12}' for letter in letters) + (f'{"A / B":>10}' if ratio else '')]
    for key in columns[0]:
        values = [column[key] for column in columns]
        if not any(values):  # a stage that none of them has
            continue
        line = f'{key:<36}' + ''.join(f'{value:>12.1f}' for value in values)
        if ratio:
            line += f'{values[0] / values[1]:>10.2f}' if values[1] else f'{"–":>10}'
        lines.append(line)
    return lines
