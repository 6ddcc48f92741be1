"""Fitting a mask codec and measuring what it loses, as ``tools/analysis/fit_mask_codec.py`` offers it."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmagg.cli.arguments import add_device, positive
from mmagg.datasets.coco_folder import annotation_file
from mmagg.experiments.mask_codec_fit import (
    SIZES,
    cosines,
    moments_of,
    per_class,
    principal_components,
    reconstruction_errors,
    size_of,
    train_autoencoder,
)
from mmagg.experiments.object_masks import ObjectMasks, read_masks
from mmagg.io.errors import InputError
from mmagg.io.files import written_whole
from mmagg.models.masks import AutoEncoderMaskCodec, DCTMaskCodec, MaskCodec, PCAMaskCodec
from mmagg.models.masks.boxed.mask_codec import SIGMOIDS
from mmagg.models.masks.boxed.pca_codec import Dictionary
from mmagg.visualization.curves import write_csv

CODECS = {'pca': PCAMaskCodec, 'dct': DCTMaskCodec, 'autoencoder': AutoEncoderMaskCodec}
CURVE = (20, 40, 60, 80, 100)
FIT, HELD_OUT = 'fit', 'held out'
COLUMNS = ('all', *SIZES)
SIZE, DPI = (11, 4), 110  # inches, dots per inch

Row = dict[str, str | int | float | None]


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/fit_mask_codec.py``."""
    parser = argparse.ArgumentParser(
        description='Fit the dictionary of a mask codec (MEInst) to the masks of a data set, each cropped to its box: '
        "the principal components, which the release's .npz also holds; mean and scale of cosines; or an auto-encoder. "
        'Prints the reconstruction error, 1 - mIoU, over the dimensions (Figure 5 of the paper) for all objects and '
        "for COCO's small, medium and large ones. Writes FILE, and the errors to FILE.csv and FILE.png beside it.",
        epilog='example: python tools/analysis/fit_mask_codec.py --ann data/coco/annotations/instances_train2017.json '
        '--out data/coco/meinst_28_60.npz',
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        '--coco',
        type=Path,
        metavar='DIR',
        help='fit to DIR/annotations/instances_train.json (or …_train2017.json), and measure on instances_val too',
    )
    source.add_argument('--ann', type=Path, metavar='FILE', help='fit to this annotation file')
    parser.add_argument('--held-out', type=Path, metavar='FILE', help='measure on the masks of this one as well')
    parser.add_argument('--out', type=Path, required=True, metavar='FILE', help='.npz to write')
    parser.add_argument('--codec', choices=CODECS, default='pca', help='what to fit (%(default)s)')
    parser.add_argument('--size', type=positive, default=28, metavar='M', help='masks are M x M (%(default)s)')
    parser.add_argument('--dims', type=positive, default=60, metavar='D', help='codes of a mask (%(default)s)')
    parser.add_argument('--per-class', action='store_true', help='pca: a dictionary for each class')
    parser.add_argument(
        '--sigmoid',
        choices=SIGMOIDS,
        default='constant',
        help="pca: fit to logits of a constant, to the release's random ones, or to the masks (%(default)s); the "
        'config says the same',
    )
    parser.add_argument(
        '--curve',
        type=positive,
        nargs='+',
        default=CURVE,
        metavar='D',
        help=f'dimensions to measure at, beside --dims ({" ".join(map(str, CURVE))})',
    )
    parser.add_argument(
        '--compare', action='store_true', help='measure the other codecs as well; trains an auto-encoder per dimension'
    )
    parser.add_argument(
        '--iterations',
        type=positive,
        default=3000,
        metavar='N',
        help='of an auto-encoder, 256 masks each (%(default)s)',
    )
    parser.add_argument('--seed', type=int, default=0, help='of what is random (%(default)s)')
    parser.add_argument('--workers', type=positive, metavar='N', help='processes that draw masks (one per core)')
    add_device(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Fit and measure as the arguments of `parser` say."""
    sources = _sources(args)
    masks = {name: _read(path, args) for name, path in sources.items()}
    fits = Fits(masks[FIT], args)
    rows: list[Row] = []
    for kind in CODECS if args.compare else (args.codec,):
        for codec, dims, content in fits.of(kind):
            if kind == args.codec and args.dims in dims:
                wanted = content
            rows += [
                {'codec': kind, 'dims': number, 'masks': name} | errors
                for name, own in masks.items()
                for number, errors in zip(dims, reconstruction_errors(codec, own, dims), strict=True)
            ]
    for suffix, write in (
        ('.csv', lambda path: write_csv(rows, path)),
        ('.png', lambda path: plot(rows, args.codec, path)),
        ('.npz', wanted.write),
    ):
        with written_whole(args.out.with_suffix(suffix)) as temporary:
            write(temporary)
    for name, own in masks.items():
        counts = np.bincount(size_of(own.areas), minlength=len(SIZES))
        sizes = ', '.join(f'{count} {size}' for count, size in zip(counts, SIZES, strict=True))
        print(f'{name}: {len(own)} masks ({sizes}) of {sources[name]}')
    print(f'\n{table(rows)}\n\nwritten to {args.out}; in a config: codec={fits.config()}')


def _sources(args: argparse.Namespace) -> dict[str, Path]:
    """The annotation files to fit to and to measure on, by their role."""
    if args.out.suffix != '.npz' or args.out.is_dir():
        raise InputError(f'--out {args.out}: name an .npz file')
    if args.sigmoid != 'constant' and (args.codec != 'pca' or args.compare):
        raise InputError(f'--sigmoid {args.sigmoid}: for --codec pca alone')
    if args.per_class and args.codec != 'pca':
        raise InputError(f'--per-class: for --codec pca, not {args.codec}')
    sources = {FIT: args.ann}
    if args.coco:
        # The house's layout, or COCO's own.
        found = {
            split: [path for year in ('', '2017') if (path := annotation_file(args.coco, split + year)).is_file()]
            for split in ('train', 'val')
        }
        if not found['train']:
            raise InputError(f'--coco {args.coco}: {annotation_file(args.coco, "train")} is missing')
        sources = {name: paths[0] for name, paths in zip((FIT, HELD_OUT), found.values(), strict=True) if paths}
    if args.held_out:
        sources[HELD_OUT] = args.held_out
    for path in sources.values():
        if not path.is_file():
            raise InputError(f'{path}: there is no such annotation file')
    return sources


def _read(path: Path, args: argparse.Namespace) -> ObjectMasks:
    try:
        return read_masks(path, size=args.size, workers=args.workers)
    except ValueError as error:
        raise InputError(str(error)) from error


class Fits:
    """Codecs of one data set.

    Args:
        masks: of the data set.
        args: of `parser`.

    Raises:
        InputError: the masks are too few, or too much alike, for so many dimensions.
    """

    def __init__(self, masks: ObjectMasks, args: argparse.Namespace) -> None:
        self.masks, self.args = masks, args
        self.options = dict(sigmoid=args.sigmoid, seed=args.seed, device=args.device)
        self.moments = moments_of(masks, **self.options)
        self.components = principal_components(self.moments, sigmoid=args.sigmoid != 'none')
        rank = self.components.components.shape[1]
        if args.dims > rank:
            raise InputError(
                f'{len(masks)} masks of {args.size} x {args.size} differ in {rank} directions only, fewer than --dims '
                f'{args.dims}; give more masks or fewer dimensions'
            )
        self.dims = sorted(number for number in {*args.curve, args.dims} if number <= rank)

    def of(self, kind: str) -> Iterator[tuple[MaskCodec, list[int], Dictionary | AutoEncoderMaskCodec]]:
        """Codecs of a kind, each with the dimensions to measure at and what to write of it."""
        if kind == 'autoencoder':
            for number in self.dims if self.args.compare else [self.args.dims]:
                torch.manual_seed(self.args.seed)
                codec = AutoEncoderMaskCodec(mask_size=self.args.size, num_codes=number).to(self.args.device)
                train_autoencoder(codec, self.masks, self.components, iterations=self.args.iterations)
                yield codec, [number], codec
            return
        codec = CODECS[kind](mask_size=self.args.size, num_codes=self.dims[-1], **self.settings(kind))
        dictionary = self._linear(kind)
        codec.take(dictionary)
        yield codec.to(self.args.device), self.dims, dictionary.first(self.args.dims)

    def _linear(self, kind: str) -> Dictionary:
        if kind == 'dct':
            try:
                return cosines(self.moments, self.dims[-1])
            except ValueError as error:
                raise InputError(str(error)) from error
        if self.args.per_class:
            return per_class(self.masks, self.components, self.dims[-1], **self.options)
        return self.components

    def settings(self, kind: str) -> dict[str, str | int]:
        """Arguments of a kind's constructor beside the sizes."""
        if kind != 'pca':
            return {}
        return dict(sigmoid=self.args.sigmoid) | (
            dict(num_classes=len(self.masks.classes)) if self.args.per_class else {}
        )

    def config(self) -> str:
        """What a config says to use the codec that is written."""
        kind, out = self.args.codec, self.args.out
        options = dict(mask_size=self.args.size, num_codes=self.args.dims) | self.settings(kind)
        given = ', '.join(f'{name}={value!r}' for name, value in options.items())
        return f"dict(type='{CODECS[kind].__name__}', {given}, dictionary='{out}')"


# Printing and drawing


def table(rows: Sequence[Row]) -> str:
    """The errors in per cent as a table in Markdown."""
    lines = [
        ' | '.join(('codec', 'dims', 'masks', *COLUMNS)),
        ' | '.join(('---', '---:', '---', *['---:'] * len(COLUMNS))),
    ]
    lines += [
        ' | '.join((row['codec'], str(row['dims']), row['masks'], *(_percent(row[name]) for name in COLUMNS)))
        for row in rows
    ]
    return '\n'.join(f'| {line} |' for line in lines)


def _percent(value: float | None) -> str:
    return '–' if value is None else f'{100 * value:.2f}'


def plot(rows: Sequence[Row], codec: str, path: Path) -> None:
    """Draw the errors over the dimensions: every codec, and one of them by size of the object.

    Args:
        rows: the errors.
        codec: the one that is drawn by size.
        path: the picture; its suffix chooses the format.
    """
    figure = Figure(figsize=SIZE, layout='constrained')
    left, right = figure.subplots(1, 2, sharey=True)
    for colour, kind in enumerate(dict.fromkeys(row['codec'] for row in rows)):
        _curves(left, [row for row in rows if row['codec'] == kind], 'all', kind, f'C{colour}')
    for colour, name in enumerate(COLUMNS):
        _curves(right, [row for row in rows if row['codec'] == codec], name, name, f'C{colour}')
    for axes, title in ((left, 'all objects'), (right, f'{codec} by size of the object')):
        axes.set(title=title, xlabel='dimensions', ylabel='reconstruction error (%)', ylim=(0, None))
        axes.grid(alpha=0.3)
        if any(row['masks'] == HELD_OUT for row in rows):
            axes.plot([], [], '--', color='grey', label=HELD_OUT)
        axes.legend(frameon=False)
    figure.savefig(path, dpi=DPI)


def _curves(axes: Axes, rows: Sequence[Row], column: str, label: str, colour: str) -> None:
    """One curve for the masks fitted to, and a dashed one for held-out masks."""
    for name, style in ((FIT, '-'), (HELD_OUT, '--')):
        points = [(row['dims'], 100 * row[column]) for row in rows if row['masks'] == name and row[column] is not None]
        if points:
            axes.plot(*zip(*points, strict=True), style, color=colour, marker='o', label=label if name == FIT else None)
