"""The papers' figures that need no training beside measured ones, as ``tools/analysis/paper_tables.py`` offers them."""

import argparse
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from mmdet.registry import MODELS
from torch import nn
from tqdm import tqdm

from mmagg.apis.config import load_config
from mmagg.costs.flops import Cost, count_costs, parameters
from mmagg.costs.published import (
    PAPERS,
    RECONSTRUCTION_DIMS,
    RECONSTRUCTION_ERROR,
    RECONSTRUCTION_SIZE,
    TABLES,
    Count,
    Figure,
    Table,
)
from mmagg.experiments.object_masks import read_masks
from mmagg.experiments.reconstruction_error import reconstruction_errors
from mmagg.io.errors import InputError
from mmagg.io.files import written_whole
from mmagg.models.masks import MaskCodec, PCAMaskCodec
from mmagg.models.masks.boxed.pca_codec import Dictionary

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
UNITS = {'': 1, 'M': 1e6, 'G': 1e9}


@dataclass(frozen=True)
class Measured:
    """What was counted of a model.

    Attributes:
        parts: cost by part.
        dictionary: numbers in the buffers of mask codecs.
    """

    parts: dict[str, Cost]
    dictionary: int


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/paper_tables.py``."""
    parser = argparse.ArgumentParser(
        description='Published parameters and FLOPs beside those of the configs here, a table in Markdown for each '
        'table of a paper, with what is counted. Nothing is trained, downloaded or computed: shapes suffice. '
        'The exit code says nothing about the figures. With --codec and --ann also how much of masks is lost.',
        epilog='example: python tools/analysis/paper_tables.py --only a2fpn aggmask --out tables.md',
    )
    parser.add_argument('--only', nargs='+', choices=PAPERS, default=PAPERS, metavar='NAME', help=', '.join(PAPERS))
    parser.add_argument('--out', type=Path, metavar='FILE', help='Markdown file to write the tables to as well')
    parser.add_argument(
        '--codec',
        type=Path,
        metavar='FILE',
        help="MEInst's reconstruction error with this dictionary: the .npz of fit_mask_codec.py --codec pca --dims "
        f'{RECONSTRUCTION_DIMS}, or more',
    )
    parser.add_argument(
        '--ann', type=Path, metavar='FILE', help="measured on this annotation file's masks; the paper's: train2017"
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Measure and print as the arguments of `parser` say."""
    if args.out is not None and args.out.is_dir():
        raise InputError(f'--out {args.out}: is a folder, name a file')
    codec = _codec(args)
    warnings.filterwarnings('ignore', message='torch.meshgrid')  # mmdet's coordinates
    tables = [table for table in TABLES if table.paper in args.only]
    counts = dict.fromkeys(
        count for table in tables for figure in table.figures for count in (figure.count, figure.over) if count
    )
    measured = {count: measure(count) for count in tqdm(counts, desc='models', unit='model')}
    sections = [section(table, measured) for table in tables]
    if codec is not None:
        sections.append(reconstruction(codec, args))
    text = '\n\n'.join(sections) + '\n'
    print(text, end='')
    if args.out is not None:
        with written_whole(args.out) as temporary:
            temporary.write_text(text, encoding='utf-8')
        print(f'\nwritten to {args.out}')


# Measuring


def measure(count: Count) -> Measured:
    """Build a model without values and count it."""
    cfg = load_config(CONFIGS / count.config, dict(count.options)).model
    with torch.device('meta'):
        model = MODELS.build(cfg)
    if count.background:
        add_background(model)
    if count.shape is None:
        parts = parameters(model)
    else:
        parts = count_costs(model, count.shape, convention=count.convention, candidates=count.candidates).parts
    codecs = [module for module in model.modules() if isinstance(module, MaskCodec)]
    return Measured(parts, sum(buffer.numel() for codec in codecs for buffer in codec.buffers()))


def add_background(model: nn.Module) -> None:
    """Give a Mask R-CNN on the meta device the background class that MMDetection v1 has for boxes and masks, too."""
    boxes, masks = model.roi_head.bbox_head, model.roi_head.mask_head
    classes = boxes.num_classes + 1
    boxes.fc_reg = nn.Linear(boxes.fc_reg.in_features, 4 * classes, device='meta')
    masks.conv_logits = nn.Conv2d(masks.conv_logits.in_channels, classes, 1, device='meta')


def value(figure: Figure, measured: Mapping[Count, Measured]) -> float:
    """A figure as measured, in its unit."""
    number = _number(figure, measured[figure.count])
    if figure.over is not None:
        number -= _number(figure, measured[figure.over])
    return number / UNITS[figure.unit]


def _number(figure: Figure, measured: Measured) -> int:
    cost = sum(measured.parts.values(), Cost()) if figure.part is None else measured.parts[figure.part]
    return cost.params + measured.dictionary if figure.what == 'stored' else getattr(cost, figure.what)


def _codec(args: argparse.Namespace) -> PCAMaskCodec | None:
    """The codec to measure; None where none is given."""
    if args.codec is None and args.ann is None:
        return None
    if args.codec is None or args.ann is None:
        raise InputError('--codec and --ann: give both, or neither')
    if 'meinst' not in args.only:
        raise InputError('--codec: the reconstruction error is of MEInst, which --only leaves out')
    for path in (args.codec, args.ann):
        if not path.is_file():
            raise InputError(f'{path}: no such file')
    try:
        dictionary = Dictionary.read(args.codec)
        codec = PCAMaskCodec(
            mask_size=RECONSTRUCTION_SIZE,
            num_codes=RECONSTRUCTION_DIMS,
            sigmoid='constant' if dictionary.sigmoid else 'none',
        )
        codec.take(dictionary, source=str(args.codec))
    except ValueError as error:
        raise InputError(str(error)) from error
    return codec


# Printing


def section(table: Table, measured: Mapping[Count, Measured]) -> str:
    """A table in Markdown, with its title, convention and remark."""
    rows = [
        (figure.row, figure.count.config, figure.value, value(figure, measured), figure.digits, figure.unit)
        for figure in table.figures
    ]
    lines = [f'## {table.title}', table.convention, markdown(rows, table.source) if rows else '', table.remark]
    return '\n\n'.join(filter(None, lines))


def reconstruction(codec: PCAMaskCodec, args: argparse.Namespace) -> str:
    """MEInst's reconstruction error in Markdown.

    Raises:
        InputError: no masks can be read.
    """
    try:
        masks = read_masks(args.ann, size=RECONSTRUCTION_SIZE)
    except ValueError as error:
        raise InputError(str(error)) from error
    (errors,) = reconstruction_errors(codec, masks)
    if errors['all'] is None:
        raise InputError(f'{args.ann}: its masks are all empty or all full, there is no error to measure')
    row = (f'error at {RECONSTRUCTION_DIMS} dimensions', args.codec, RECONSTRUCTION_ERROR, 100 * errors['all'], 1, '%')
    return '\n\n'.join(
        (
            '## MEInst, Sec. 4.1: reconstruction error',
            f'1 - mIoU of foreground and background over all pixels of {len(masks)} masks of `{args.ann}` at '
            f'{RECONSTRUCTION_SIZE} × {RECONSTRUCTION_SIZE}; the paper fits and measures on train2017.',
            markdown([row], 'paper'),
        )
    )


def markdown(rows: Sequence[tuple], source: str) -> str:
    """Rows of name, config, published and measured number, printed digits and unit as a table in Markdown."""
    lines = [f'| row | config | {source} | measured | |', '|---|---|---:|---:|---|']
    for name, config, published, measured, digits, unit in rows:
        shown, verdict = compare(published, measured, digits)
        cells = (name, f'`{config}`', f'{published:,.{digits}f} {unit}'.strip(), f'{shown} {unit}'.strip(), verdict)
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)


def compare(published: float, measured: float, digits: int) -> tuple[str, str]:
    """The measured number as text, and 'same' or the difference.

    Args:
        published: as printed.
        measured: not rounded.
        digits: printed after the point. A number that differs is shown with one more, unless it is whole.
    """
    same = f'{measured:,.{digits}f}'
    if same == f'{published:,.{digits}f}':
        return same, 'same'
    finer = digits + 1 if digits else 0
    difference = measured - published
    return f'{measured:,.{finer}f}', f'{difference:+,.{finer}f} ({difference / abs(published):+.1%})'
