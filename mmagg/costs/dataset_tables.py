"""The papers' figures that are counted on a data set without training, beside those of an annotation file."""

from collections.abc import Collection
from pathlib import Path

import torch

from mmagg.apis.config import shipped_config
from mmagg.costs.flops_report import count_flops
from mmagg.costs.published import AGGMASK_AVERAGES, SOLO_STATISTICS, Count
from mmagg.costs.published import RECONSTRUCTION_DIMS as DIMS
from mmagg.costs.published import RECONSTRUCTION_ERROR as ERROR
from mmagg.costs.published import RECONSTRUCTION_SIZE as SIZE
from mmagg.costs.table_rows import markdown
from mmagg.experiments.fitted_codes import moments_of, principal_components
from mmagg.experiments.object_masks import ObjectMasks, read_masks
from mmagg.experiments.object_statistics import object_statistics
from mmagg.experiments.reconstruction_error import reconstruction_errors
from mmagg.io.errors import InputError
from mmagg.models.masks import PCAMaskCodec

CURVE = (20, 40, 60, 80, DIMS)
COUNTED = ('aggmask', 'meinst', 'solo')  # papers with figures of a data set


def dataset_sections(
    ann: Path, *, only: Collection[str], codec: PCAMaskCodec | None, name: str | Path | None
) -> list[str]:
    """Sections in Markdown: SOLO's statistics, AggMask's average FLOPs and its Figure 4, MEInst's Figure 5.

    Args:
        ann: an annotation file in COCO format.
        only: papers to have sections of.
        codec: MEInst's dictionary; None: one that is fitted to the masks of `ann`.
        name: its file.

    Raises:
        InputError: the file cannot be used.
    """
    sections = []
    if 'aggmask' in only:
        sections += averages(ann)
    if 'meinst' in only:
        sections.append(reconstruction(codec, name, ann))
    if 'solo' in only:
        sections.append(statistics(ann))
    return sections


def averages(ann: Path) -> list[str]:
    """AggMask's FLOPs, averaged over the images of a file as in its Table 4, and those of heads by level (Figure 4)."""
    reports = {row: _averaged(count, ann) for row, (count, _) in AGGMASK_AVERAGES.items()}
    of = next(iter(reports.values()))['averaged']
    what = (
        f"MMDetection v1's counter; the mean over the {of['images']} images of `{ann}`, resized to 1333 × 800, each "
        f'padded alone: {of["sizes"]} sizes. The paper has the average over COCO val2017.'
    )
    rows = [
        (f'{row}, FLOPs', count.config, published, reports[row]['total']['macs'] / 1e9, 1, 'G')
        for row, (count, published) in AGGMASK_AVERAGES.items()
    ]
    levels = {
        row: {level: sum(part[level] for part in parts.values()) for level in next(iter(parts.values()))}
        for row, parts in ((row, report['levels']) for row, report in reports.items())
    }
    names = list(next(iter(levels.values())))
    lines = [f'| | {" | ".join(names)} |', f'|---|{"---:|" * len(names)}']
    lines += [f'| {row} | {" | ".join(f"{own[one] / 1e9:.1f}" for one in names)} |' for row, own in levels.items()]
    return [
        '\n\n'.join(('## AggMask, Table 4: FLOPs averaged over a data set', what, markdown(rows, 'paper'))),
        '\n\n'.join(
            (
                '## AggMask, Fig. 4: FLOPs of the head by level',
                'In G, the finest level first; "all" is done once for all of them. The figure prints no numbers.',
                '\n'.join(lines),
            )
        ),
    ]


def _averaged(count: Count, ann: Path) -> dict:
    config = str(shipped_config(count.config))
    return count_flops(config, ann=ann, convention='paper', by_level=True, cfg_options=dict(count.options))


def reconstruction(codec: PCAMaskCodec | None, name: str | Path | None, ann: Path) -> str:
    """MEInst's reconstruction error by the number of components (Figure 5).

    Raises:
        InputError: no masks can be read, or all are empty or full.
    """
    masks = read_masks(ann, size=SIZE)
    codec = _fitted(masks) if codec is None else codec
    dims = [number for number in CURVE if number <= codec.num_codes] or [codec.num_codes]
    errors = [one['all'] for one in reconstruction_errors(codec, masks, dims) if one['all'] is not None]
    if len(errors) < len(dims):
        raise InputError(f'{ann}: its masks are all empty or all full, there is no error to measure')
    source = 'fitted to them' if name is None else name
    rows = [
        (f'error at {number} dimensions', source, ERROR if number == DIMS else None, 100 * error, 1, '%')
        for number, error in zip(dims, errors, strict=True)
    ]
    return '\n\n'.join(
        (
            '## MEInst, Sec. 4.1 and Fig. 5: reconstruction error',
            f'1 - mIoU of foreground and background over all pixels of {len(masks)} masks of `{ann}` at '
            f'{SIZE} × {SIZE}; the paper fits and measures on train2017, and prints one number of its curve.',
            markdown(rows, 'paper'),
        )
    )


def _fitted(masks: ObjectMasks) -> PCAMaskCodec:
    """The principal components of masks, at most `DIMS` of them."""
    components = principal_components(moments_of(masks, sigmoid='constant', seed=0, device=torch.device('cpu')))
    number = min(DIMS, components.components.shape[1])
    codec = PCAMaskCodec(mask_size=SIZE, num_codes=number)
    codec.take(components.first(number))
    return codec


def statistics(ann: Path) -> str:
    """SOLO's statistics of pairs of objects (Sec. 1), and its positive cells per object (Sec. 2.3)."""
    found = object_statistics(ann)
    rows = [
        (row, Path(found.config).name, published, scale * getattr(found, what), digits, unit)
        for row, what, published, scale, digits, unit in SOLO_STATISTICS
        if getattr(found, what) is not None  # a share of no pairs
    ]
    return '\n\n'.join(
        (
            '## SOLO, Sec. 1 and 2.3: objects, pairs of them, and their cells',
            f'Of {found.objects} objects in the {found.images} images of `{ann}`, crowds left out; the paper counts '
            "val2017's, and does not say how it takes centres and sizes: here centres of mass, in pixels of the image, "
            'and sqrt(w · h).',
            markdown(rows, 'paper'),
        )
    )
