"""Published figures that need no training, and how each is counted again; `tools/analysis/paper_tables.py` does so.

'paper' and 'modern' are the conventions of `flops.py`; a multiply-add is one FLOP.
"""

from dataclasses import dataclass

PAPERS = ('a2fpn', 'aggmask', 'blendmask', 'meinst', 'solo')

# MEInst, Sec. 4.1: 2.5 per cent are lost at 100 dimensions of 28 x 28 masks.
RECONSTRUCTION_DIMS, RECONSTRUCTION_SIZE, RECONSTRUCTION_ERROR = 100, 28, 2.5


@dataclass(frozen=True)
class Count:
    """A model, and how its parameters and multiply-adds are counted."""

    config: str  # path below configs/
    convention: str | None = None  # 'paper' or 'modern'; None: parameters alone
    shape: tuple[int, int] | None = None  # (H, W) of the padded image; None: parameters alone
    candidates: int | None = None  # masks decoded in the modern convention
    options: tuple[tuple[str, int | None], ...] = ()  # keys of the config and their values
    background: bool = False  # add a background class to box regression and masks, as MMDetection v1 has it


@dataclass(frozen=True)
class Figure:
    """A published figure."""

    row: str  # its name
    count: Count
    what: str  # 'params', 'trainable' (parameters), 'stored' (parameters and a mask codec's dictionary) or 'macs'
    value: float  # in `unit`
    digits: int  # printed after the point
    unit: str  # 'G', 'M' or '' for 1
    part: str | None = None  # of the model, see `part_name`; None: all of it
    over: Count | None = None  # a count to subtract, for a published difference


@dataclass(frozen=True)
class Table:
    """Figures of one table, in its order."""

    paper: str  # one of `PAPERS`
    title: str  # its place
    source: str = 'paper'  # or 'release', or 'by hand' for what follows from published sizes
    convention: str = ''  # in words
    figures: tuple[Figure, ...] = ()
    remark: str = ''  # what cannot be matched, and why


# A²-FPN


def _mask_rcnn(row: str, name: str, flops: float, params: float) -> tuple[Figure, Figure]:
    count = Count(f'a2fpn/mask-rcnn_r50_{name}_1x_coco.py', 'paper', (1280, 832), background=True)
    return (
        Figure(f'{row}, FLOPs', count, 'macs', flops, 2, 'G'),
        Figure(f'{row}, parameters', count, 'trainable', params, 2, 'M'),
    )


A2FPN = Table(
    'a2fpn',
    'A²-FPN, Table 6',
    convention="MMDetection v1's counter (`get_flops.py --convention paper`), 1280 × 832, 1000 boxes and 100 masks; "
    'a background class in box regression and masks, as there; trainable parameters.',
    figures=(
        *_mask_rcnn('FPN', 'fpn', 283.28, 44.18),
        *_mask_rcnn('PAFPN', 'pafpn', 309.05, 47.72),
        *_mask_rcnn('A²-FPN', 'a2fpn', 375.39, 57.49),
        *_mask_rcnn('A²-FPN-Lite', 'a2fpn-lite', 319.91, 48.83),
    ),
)

# AggMask

SWITCHES = (
    ('model.mask_head.aggregator.parameters.kernel_size', 1),
    ('model.mask_head.aggregator.context.hidden_channels', None),
)


def _solo_r101(config: str, options: tuple = ()) -> Count:
    return Count(config, 'paper', (800, 1216), options=options)


SOLO = _solo_r101('solo/solo_r101_fpn_3x_coco.py')
AGGMASK, FINER, COARSER = (
    _solo_r101(f'aggmask/aggmask-solo_r101_fpn_{name}3x_coco.py', SWITCHES) for name in ('', 'cls-grid_', 'mask-grid_')
)
RELEASED = tuple(_solo_r101(count.config) for count in (AGGMASK, FINER, COARSER))
SCHEMES = ('AggMask', 'AggMask +cls', 'AggMask -mask')


def _aggmask_figures(what: str, unit: str, name: str, values: tuple[float, ...]) -> tuple[Figure, ...]:
    rows = zip(('SOLO', *SCHEMES), (SOLO, AGGMASK, FINER, COARSER), values, strict=True)
    return tuple(Figure(f'{row}, {name}', count, what, value, 1, unit) for row, count, value in rows)


AGGMASK_TABLE = Table(
    'aggmask',
    'AggMask, Table 4 (SOLO R-101)',
    convention="MMDetection v1's counter (`get_flops.py --convention paper`), 800 × 1216; trainable parameters. "
    'AggMask with a 1 × 1 parameter convolution and one context convolution ('
    + ', '.join(f'`{key}={value}`' for key, value in SWITCHES)
    + '), which comes nearer to the table; "as released": without these options.',
    figures=(
        *_aggmask_figures('trainable', 'M', 'parameters', (55.1, 55.4, 55.4, 54.6)),
        *(
            Figure(f'{row}, parameters, as released', count, 'trainable', value, 1, 'M')
            for row, count, value in zip(SCHEMES, RELEASED, (55.4, 55.4, 54.6), strict=True)
        ),
        *_aggmask_figures('macs', 'G', 'FLOPs', (422.8, 428.3, 433.8, 390.5)),
        Figure('AggMask over SOLO, FLOPs', AGGMASK, 'macs', 5.5, 1, 'G', over=SOLO),
        Figure('+cls over AggMask, FLOPs', FINER, 'macs', 5.5, 1, 'G', over=AGGMASK),
        Figure('-mask over AggMask, FLOPs', COARSER, 'macs', -37.8, 1, 'G', over=AGGMASK),
    ),
    remark="Cannot be matched: the paper's FLOPs are averages over COCO val2017, these are of one shape. The dynamic "
    'convolutions of AggMask are functions, which this counter does not see; the paper seems to have added some. '
    'The parameters of AggMask and +cls are met with neither options; see `configs/aggmask/README.md`.',
)

AGGMASK_AVERAGES = {
    row: (count, flops)
    for row, count, flops in zip(
        ('SOLO', *SCHEMES), (SOLO, AGGMASK, FINER, COARSER), (422.8, 428.3, 433.8, 390.5), strict=True
    )
}
"""Table 4 once more, for averages over a data set: by row the model and its GFLOPs."""

# BlendMask

AFFINE = 'All parameters, the affine ones of frozen batch normalisations included'


def _released(folder: str, what: str, rows: tuple[tuple[str, str, int], ...]) -> tuple[Figure, ...]:
    return tuple(
        Figure(f'{row}, parameters', Count(f'{folder}/{name}_coco.py'), what, value, 0, '') for row, name, value in rows
    )


BLENDMASK_PARAMETERS = Table(
    'blendmask',
    "BlendMask, the release's models",
    source='release',
    convention=f'{AFFINE}. The paper prints none.',
    figures=_released(
        'blendmask',
        'params',
        (
            ('R-50, 1x', 'blendmask_r50_fpn_1x', 36_034_682),
            ('R-50, 3x', 'blendmask_r50_fpn_3x', 36_034_682),
            ('R-101, 3x', 'blendmask_r101_fpn_3x', 55_026_810),
            ('R-101, dcni3, 5x', 'blendmask_r101-dcni3_fpn_5x', 55_711_395),
            ('550, R-50, 3x', 'blendmask-550_r50_fpn_3x', 32_343_930),
            ('RT, R-50, 4x', 'blendmask-rt_r50_fpn_4x', 31_753_850),
        ),
    ),
)
BASE, TOP_LAYER = 'blendmask/blendmask_r50_fpn_1x_coco.py', 'mask_head.coefficients'
BLENDMASK_TOP_LAYER = Table(
    'blendmask',
    'BlendMask, cost of the top layer',
    source='by hand',
    convention='4 · 14² coefficients a place, each from 3 × 3 × 256 weights; image of 800 × 1216. Dense: at the 20,267 '
    'places of P3 to P7, `get_flops.py --convention paper`. Sparse: at 200 of them, `--candidates 200`. The paper '
    'prints neither.',
    figures=(
        Figure('dense, FLOPs', Count(BASE, 'paper', (800, 1216)), 'macs', 36.6, 1, 'G', part=TOP_LAYER),
        Figure('200 places, FLOPs', Count(BASE, 'modern', (800, 1216), 200), 'macs', 0.36, 2, 'G', part=TOP_LAYER),
    ),
)

# MEInst

MEINST = Table(
    'meinst',
    "MEInst, the release's models",
    source='release',
    convention=f'{AFFINE}, and the 47,884 numbers of the dictionary. The paper prints none.',
    figures=_released(
        'meinst',
        'stored',
        (
            ('R-50, none, 1x', 'meinst-none_r50_fpn_1x', 34_845_922),
            ('R-50, 1x', 'meinst_r50_fpn_1x', 34_969_624),
            ('R-50, 3x', 'meinst_r50_fpn_3x', 34_969_624),
            ('512, R-50, 3x', 'meinst-512_r50_fpn_3x', 34_969_624),
        ),
    ),
)

# SOLO

NONE_OF_SOLO = Table(
    'solo',
    'SOLO',
    remark="The paper prints neither parameters nor FLOPs. Those of SOLO R-101 are in AggMask's Table 4, which has "
    'none of SOLOv2.',
)

SOLO_STATISTICS = (
    ('pairs with centres more than 30 pixels apart', 'apart_share', 98.3, 100, 1, '%'),
    ('other pairs with sizes that differ more than 1.5 times', 'unequal_share', 40.5, 100, 1, '%'),
    ('positive cells per object', 'positives_per_object', 3, 1, 1, ''),
    ('cells per object and level', 'cells_per_level', None, 1, 1, ''),
)
"""Sec. 1 and 2.3: row, attribute of `ObjectStatistics`, printed figure, its unit as a factor, digits, unit."""

TABLES = (A2FPN, AGGMASK_TABLE, BLENDMASK_PARAMETERS, BLENDMASK_TOP_LAYER, MEINST, NONE_OF_SOLO)
