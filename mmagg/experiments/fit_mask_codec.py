"""Fitting a mask codec to a data set, and measuring its reconstruction error (MEInst, Figure 5)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmagg.apis.hardware import usable_device
from mmagg.datasets.coco_folder import annotation_file, check_is_folder, instead
from mmagg.experiments.fitted_codes import (
    dct_dictionary,
    moments_of,
    per_class_components,
    principal_components,
    train_autoencoder,
)
from mmagg.experiments.object_masks import ObjectMasks, read_masks
from mmagg.experiments.reconstruction_error import SIZES, Errors, reconstruction_errors, size_of
from mmagg.formats.known import refuse_other_layouts
from mmagg.io.errors import InputError
from mmagg.io.files import written_whole
from mmagg.io.tables import percent, write_records
from mmagg.models.masks import AutoEncoderMaskCodec, DCTMaskCodec, MaskCodec, PCAMaskCodec
from mmagg.models.masks.boxed.pca_codec import Dictionary
from mmagg.visualization.chart import write_chart

CODECS = {'pca': PCAMaskCodec, 'dct': DCTMaskCodec, 'autoencoder': AutoEncoderMaskCodec}
CURVE = (20, 40, 60, 80, 100)
FIT, HELD_OUT = 'fit', 'held out'
Column = Literal['all', 'small', 'medium', 'large']
COLUMNS: tuple[Column, ...] = ('all', 'small', 'medium', 'large')
SIZE = 11, 4  # inches

Fitted = tuple[MaskCodec, list[int], Dictionary | AutoEncoderMaskCodec]
"""A codec, the dimensions to measure it at, and the parameters to write to its file."""


class Row(Errors):
    """The errors of a codec of some dimensions for some masks, `FIT` or `HELD_OUT`."""

    codec: str
    dims: int
    masks: str


@dataclass(frozen=True)
class CodecReport:
    """A fitted codec, and the errors of it and of the codecs that it is compared with.

    Attributes:
        codec: 'pca', 'dct' or 'autoencoder'.
        options: arguments of its constructor.
        content: its parameters, to be written to its file.
        counts: a line for each set of masks: their number by size.
        rows: codec, dims, masks (fit or held out), and the error 1 - mIoU of all objects and by size.
    """

    codec: str
    options: dict[str, Any]
    content: Dictionary | AutoEncoderMaskCodec
    counts: list[str]
    rows: list[Row]

    def table(self) -> str:
        """The errors in per cent as a table in Markdown."""
        lines = [('codec', 'dims', 'masks', *COLUMNS), ('---', '---:', '---', *['---:'] * len(COLUMNS))]
        for row in self.rows:
            lines += [(row['codec'], str(row['dims']), row['masks'], *(percent(row[name], 2) for name in COLUMNS))]
        return '\n'.join(f'| {" | ".join(line)} |' for line in lines)

    def config(self, path: Path) -> str:
        """The entry of a config that uses the codec written to `path`."""
        given = ', '.join(f'{name}={value!r}' for name, value in self.options.items())
        return f"dict(type='{CODECS[self.codec].__name__}', {given}, dictionary='{path}')"

    def write(self, path: str | Path) -> None:
        """Write the codec to an .npz file, and the errors to .csv and .png beside it."""
        path = Path(path)
        write_records(self.rows, path.with_suffix('.csv'))
        plot(self.rows, self.codec, path.with_suffix('.png'))
        with written_whole(path) as temporary:
            self.content.write(temporary)


def fit_mask_codec(
    annotations: str | Path | None = None,
    *,
    coco: str | Path | None = None,
    held_out: str | Path | None = None,
    codec: str = 'pca',
    size: int = 28,
    dims: int = 60,
    per_class: bool = False,
    sigmoid: str = 'constant',
    curve: Sequence[int] = CURVE,
    compare: bool = False,
    against: int | None = None,
    iterations: int = 3000,
    seed: int = 0,
    workers: int | None = None,
    device: str | None = None,
) -> CodecReport:
    """Fit a mask codec to the masks of a data set, each cropped to its box, and measure the reconstruction error.

    Args:
        annotations: the file to fit to; or `coco`.
        coco: a folder: fit to its instances_train.json (or …_train2017.json), measure on instances_val too.
        held_out: a file to measure on as well.
        codec: 'pca', 'dct' or 'autoencoder'.
        size: m, masks are m x m.
        dims: D, codes of a mask.
        per_class: a dictionary for each class ('pca').
        sigmoid: 'pca' is fitted to logits of a 'constant', to the release's 'random' ones, or to the masks ('none').
        curve: dimensions to measure at, beside `dims`.
        compare: measure the other codecs as well; trains an auto-encoder per dimension.
        against: R, masks of R x R with which decoded ones are compared, resized; None: m.
        iterations: of an auto-encoder, 256 masks each.
        seed: of random numbers.
        workers: processes that draw masks; None: one for each core.
        device: e.g. `cuda:0`; by default the GPU where there is one.

    Raises:
        InputError: options or files cannot be used, or the masks are too few, or too much alike, for `dims`.
    """
    if sigmoid != 'constant' and (codec != 'pca' or compare):
        raise InputError(f'--sigmoid {sigmoid}: for --codec pca alone')
    if per_class and codec != 'pca':
        raise InputError(f'--per-class: for --codec pca, not {codec}')
    sources = _sources(annotations, coco, held_out)
    place = usable_device(device)
    masks = {name: read_masks(path, size=size, workers=workers) for name, path in sources.items()}
    fine = {name: read_masks(path, size=against, workers=workers) for name, path in sources.items()} if against else {}
    kinds = list(CODECS) if compare else [codec]
    fits = Fits(masks[FIT], dims, curve, kinds=kinds, sigmoid=sigmoid, per_class=per_class, seed=seed, device=place)
    rows: list[Row] = []
    for kind in kinds:
        several = fits.dims if compare else [dims]
        auto = kind == 'autoencoder'
        fitted = (fits.autoencoder(number, iterations) for number in several) if auto else [fits.linear(kind)]
        for own_codec, numbers, content in fitted:
            if kind == codec and dims in numbers:
                wanted = content
            rows += [
                Row(codec=kind, dims=number, masks=name, **errors)
                for name, own in masks.items()
                for number, errors in zip(
                    numbers, reconstruction_errors(own_codec, own, numbers, fine=fine.get(name)), strict=True
                )
            ]
    settings = dict(mask_size=size, num_codes=dims) | fits.settings(codec)
    counts = [_counts(name, own, sources[name]) for name, own in masks.items()]
    return CodecReport(codec, settings, wanted, counts, rows)


def _sources(annotations: str | Path | None, coco: str | Path | None, held_out: str | Path | None) -> dict[str, Path]:
    """The annotation files to fit to and to measure on, by their role."""
    if annotations is not None and coco is None:
        sources = {FIT: Path(annotations)}
    elif coco is not None and annotations is None:
        folder = Path(coco)
        # Names as in this package's folders, or COCO's own.
        found = {
            split: [path for year in ('', '2017') if (path := annotation_file(folder, split + year)).is_file()]
            for split in ('train', 'val')
        }
        if not found['train']:
            refuse_other_layouts(folder)
            check_is_folder(folder)
            raise InputError(f'--coco {coco}: {annotation_file(folder, "train")} is missing{instead(folder)}')
        sources = {name: paths[0] for name, paths in zip((FIT, HELD_OUT), found.values(), strict=True) if paths}
    else:
        raise InputError('fit_mask_codec: give either annotations or coco')
    if held_out:
        sources[HELD_OUT] = Path(held_out)
    for path in sources.values():
        if not path.is_file():
            raise InputError(f'{path}: there is no such annotation file')
    return sources


def _counts(name: str, masks: ObjectMasks, source: Path) -> str:
    counts = np.bincount(size_of(masks.areas), minlength=len(SIZES))
    sizes = ', '.join(f'{count} {size}' for count, size in zip(counts, SIZES, strict=True))
    return f'{name}: {len(masks)} masks ({sizes}) of {source}'


class Fits:
    """Codecs fitted to the masks of one data set.

    Args:
        kinds: those that will be asked for; cosines alone need no principal components.

    The other arguments are those of `fit_mask_codec`.

    Raises:
        InputError: the masks are too few, or too much alike, for so many dimensions.
    """

    def __init__(
        self,
        masks: ObjectMasks,
        dims: int,
        curve: Sequence[int],
        *,
        kinds: Sequence[str],
        sigmoid: str,
        per_class: bool,
        seed: int,
        device: torch.device,
    ) -> None:
        self.masks, self.written, self.per_class = masks, dims, per_class
        self.options: dict[str, Any] = dict(sigmoid=sigmoid, seed=seed, device=device)
        rank = masks.size**2 if set(kinds) == {'dct'} else self.components.components.shape[1]
        if dims > rank:
            raise InputError(
                f'{len(masks)} masks of {masks.size} x {masks.size} differ in {rank} directions only, fewer than '
                f'--dims {dims}; give more masks or fewer dimensions'
            )
        self.dims = sorted(number for number in {*curve, dims} if number <= rank)

    @cached_property
    def components(self) -> Dictionary:
        """All principal components; of large masks they take hours, and cosines do without."""
        return principal_components(moments_of(self.masks, **self.options), sigmoid=self.options['sigmoid'] != 'none')

    def linear(self, kind: str) -> Fitted:
        """A codec with a dictionary; the first components alone are a dictionary of fewer dimensions."""
        if kind == 'dct':
            dictionary = dct_dictionary(self.masks, self.dims[-1], device=self.options['device'])
        elif self.per_class:
            dictionary = per_class_components(self.masks, self.components, self.dims[-1], **self.options)
        else:
            dictionary = self.components
        codec = CODECS[kind](mask_size=self.masks.size, num_codes=self.dims[-1], **self.settings(kind))
        codec.take(dictionary)
        return codec.to(self.options['device']), self.dims, dictionary.first(self.written)

    def autoencoder(self, number: int, iterations: int) -> Fitted:
        """An auto-encoder of `number` codes, which starts at the principal components and is trained."""
        torch.manual_seed(self.options['seed'])
        codec = AutoEncoderMaskCodec(mask_size=self.masks.size, num_codes=number).to(self.options['device'])
        train_autoencoder(codec, self.masks, self.components, iterations=iterations)
        return codec, [number], codec

    def settings(self, kind: str) -> dict[str, Any]:
        """Arguments of a codec's constructor beside the sizes."""
        if kind != 'pca':
            return {}
        classes = dict(num_classes=len(self.masks.classes)) if self.per_class else {}
        return dict(sigmoid=self.options['sigmoid']) | classes


def plot(rows: Sequence[Row], codec: str, path: Path) -> None:
    """Draw the errors over the dimensions: every codec, and `codec` by size of the object.

    Args:
        rows: the errors, as in `CodecReport`.
        codec: its kind.
        path: of the picture; its suffix chooses the format.
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
    write_chart(figure, path)


def _curves(axes: Axes, rows: Sequence[Row], column: Column, label: str, colour: str) -> None:
    """A curve for the masks that the codec is fitted to, and a dashed one for held-out masks."""
    for name, style in ((FIT, '-'), (HELD_OUT, '--')):
        own = [(row['dims'], row[column]) for row in rows if row['masks'] == name]
        points = [(dims, 100 * error) for dims, error in own if error is not None]
        if points:
            axes.plot(*zip(*points, strict=True), style, color=colour, marker='o', label=label if name == FIT else None)
