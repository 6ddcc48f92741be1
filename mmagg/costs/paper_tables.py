"""The papers' figures that need no training beside measured ones, as tables in Markdown."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from mmdet.models.detectors import BaseDetector
from mmdet.registry import MODELS
from torch import nn
from tqdm import tqdm

from mmagg.apis.config import load_config, shipped_config
from mmagg.costs.dataset_tables import COUNTED, dataset_sections
from mmagg.costs.flops import Cost, count_costs, parameters
from mmagg.costs.published import PAPERS, TABLES, Count, Figure, Table
from mmagg.costs.published import RECONSTRUCTION_DIMS as DIMS
from mmagg.costs.published import RECONSTRUCTION_SIZE as SIZE
from mmagg.costs.table_rows import markdown
from mmagg.io.errors import InputError
from mmagg.io.files import require_file
from mmagg.models.masks import MaskCodec, PCAMaskCodec
from mmagg.models.masks.boxed.pca_codec import Dictionary

UNITS = {'': 1, 'M': 1e6, 'G': 1e9}
Numbers = dict[str | None, dict[str, int]]
"""`params`, `trainable` and `macs` of a model by part; under None those of all of it, and also `stored`."""


def paper_tables(
    *, only: Sequence[str] = PAPERS, codec: str | Path | None = None, ann: str | Path | None = None
) -> str:
    """Published parameters and FLOPs beside those of the configs here; shapes suffice, nothing is computed.

    Args:
        only: papers, some of `PAPERS`.
        codec: a fitted PCA dictionary (.npz), to measure MEInst's reconstruction error with on the masks of `ann`;
            None: one that is fitted to them.
        ann: an annotation file in COCO format, for the figures that are counted on a data set, see `dataset_sections`.

    Returns:
        a table in Markdown for each table of a paper, with what is counted.

    Raises:
        InputError: `codec` is given without `ann`, one of them cannot be used, or nothing in `only` is counted on data.
    """
    dictionary = _codec(codec, ann, only)
    if ann is not None:
        require_file(Path(ann), '--ann')
        if not {*only} & {*COUNTED}:
            raise InputError(f'--ann: on a data set are counted {", ".join(COUNTED)}, which --only leaves out')
    warnings.filterwarnings('ignore', message='torch.meshgrid')  # mmdet's coordinates
    tables = [table for table in TABLES if table.paper in only]
    counts = dict.fromkeys(
        count for table in tables for figure in table.figures for count in (figure.count, figure.over) if count
    )
    measured = {count: measure(count) for count in tqdm(counts, desc='models', unit='model')}
    sections = [section(table, measured) for table in tables]
    if ann is not None:
        sections += dataset_sections(Path(ann), only=only, codec=dictionary, name=codec)
    return '\n\n'.join(sections) + '\n'


# Measuring


def measure(count: Count) -> Numbers:
    """Build a model without values and count it."""
    cfg = load_config(shipped_config(count.config), dict(count.options)).model
    with torch.device('meta'):
        model = MODELS.build(cfg)
    if count.background:
        add_background(model)
    parts: Mapping[str, Cost]
    if count.shape is None or count.convention is None:
        parts = parameters(model)
    else:
        parts = count_costs(model, count.shape, convention=count.convention, candidates=count.candidates).parts
    codecs = [module for module in model.modules() if isinstance(module, MaskCodec)]
    dictionary = sum(buffer.numel() for codec in codecs for buffer in codec.buffers())
    numbers = {name: asdict(cost) for name, cost in (*parts.items(), (None, sum(parts.values(), Cost())))}
    numbers[None]['stored'] = numbers[None]['params'] + dictionary
    return numbers


def add_background(model: BaseDetector) -> None:
    """Give a Mask R-CNN on the meta device the background class that MMDetection v1 has for boxes and masks, too."""
    boxes, masks = model.roi_head.bbox_head, model.roi_head.mask_head
    classes = boxes.num_classes + 1
    boxes.fc_reg = nn.Linear(boxes.fc_reg.in_features, 4 * classes, device='meta')
    masks.conv_logits = nn.Conv2d(masks.conv_logits.in_channels, classes, 1, device='meta')


def value(figure: Figure, measured: Mapping[Count, Numbers]) -> float:
    """A figure as measured, in its unit."""
    number = measured[figure.count][figure.part][figure.what]
    if figure.over is not None:
        number -= measured[figure.over][figure.part][figure.what]
    return number / UNITS[figure.unit]


def _codec(path: str | Path | None, ann: str | Path | None, only: Sequence[str]) -> PCAMaskCodec | None:
    """The codec to measure; None where none is given."""
    if path is None:
        return None
    if ann is None:
        raise InputError('--codec: give the annotation file, too, whose masks are measured (--ann)')
    path, ann = Path(path), Path(ann)
    if 'meinst' not in only:
        raise InputError('--codec: the reconstruction error is of MEInst, which --only leaves out')
    for file in (path, ann):
        if not file.is_file():
            raise InputError(f'{file}: no such file')
    try:
        dictionary = Dictionary.read(path)
        sigmoid = 'constant' if dictionary.sigmoid else 'none'
        codec = PCAMaskCodec(mask_size=SIZE, num_codes=DIMS, sigmoid=sigmoid)
        codec.take(dictionary, source=str(path))
    except ValueError as error:
        raise InputError(f'{error}; fit it with --codec pca --dims {DIMS}') from error
    return codec


# Printing


def section(table: Table, measured: Mapping[Count, Numbers]) -> str:
    """A table in Markdown, with its title, convention and remark."""
    rows = [
        (figure.row, figure.count.config, figure.value, value(figure, measured), figure.digits, figure.unit)
        for figure in table.figures
    ]
    lines = [f'## {table.title}', table.convention, markdown(rows, table.source) if rows else '', table.remark]
    return '\n\n'.join(filter(None, lines))
