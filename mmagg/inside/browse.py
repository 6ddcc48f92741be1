"""Pictures of the images and annotations that the data pipeline feeds to the network."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path

from tqdm import tqdm

from mmagg.apis.config import base_files, load_config
from mmagg.apis.data import check_data, data_files, use_coco_folder
from mmagg.apis.skipped_images import skipping
from mmagg.datasets.image_errors import FAILURES, unusable
from mmagg.inside.pipeline_view import PipelineView
from mmagg.io.errors import InputError
from mmagg.io.files import check_folder
from mmagg.io.images import write_image
from mmagg.io.paths import keep_apart
from mmagg.io.pictures import keep_pictures_apart, places
from mmagg.visualization.annotated import Annotated
from mmagg.visualization.captioned_sheet import Captioned, captioned_sheet

ROOM = 400, 530  # height and width of a picture on a sheet, in pixels
COLUMNS, ROWS = 4, 5  # of a sheet; more columns where a row belongs to one image


@dataclass(frozen=True)
class Browsed:
    """Pictures that were drawn.

    Attributes:
        sheets: the sheets' files, at least one.
        unreadable: images that were skipped.
    """

    sheets: list[Path]
    unreadable: list[Path]


def browse(
    config: str | Path,
    *,
    coco: str | Path | None = None,
    split: str = 'train',
    out: str | Path | None = None,
    number: int = 16,
    images: Sequence[str] | None = None,
    repeat: int | None = None,
    stages: bool = False,
    seed: int = 0,
    cfg_options: dict | None = None,
) -> Browsed:
    """Draw images after augmentation and before normalisation: masks, boxes and labels, ignored regions hatched.

    Args:
        config: with the data pipeline.
        coco: a folder in COCO format to run the pipeline on instead.
        split: 'train', 'val' or 'test'.
        out: folder for the sheets, and below it, in `pictures`, each picture in its own size; by default
            work_dirs/browse/CONFIG.
        number: of images, chosen at random.
        images: file names or ids of the images to draw instead.
        repeat: draws of each image, in a row behind the image as it is in its file.
        stages: draw a row for each image: the image after each transform; not with `repeat`.
        seed: of images and draws.
        cfg_options: changes to the config, dotted keys.

    An image that cannot be read or transformed is named on stderr and skipped.

    Raises:
        InputError: the config has no such data, an image is not there, or none can be read and transformed.
    """
    if repeat and stages:
        raise InputError('browse: either repeat or stages')
    changes = [partial(use_coco_folder, folder=coco, stages=[split])]
    cfg = load_config(config, cfg_options, changes=changes, reads={f'{split}_dataloader', 'model'})
    if not cfg.get(f'{split}_dataloader'):
        raise InputError(f'config {config}: no `{split}_dataloader`')
    name = Path(config).stem
    out = Path(out or Path('work_dirs/browse') / name)
    keep_apart({'--out': out}, [config, *base_files(cfg), *data_files(cfg, coco)])
    check_folder(out)
    check_data(cfg, [split], purpose='show')
    view = PipelineView(cfg[f'{split}_dataloader'].dataset, seed=seed)
    if not len(view):
        raise InputError(f'the {split} data have no images; filter_cfg may leave all of them out')
    try:
        chosen = [view.find(image) for image in images] if images else view.some(number)
    except LookupError as error:
        raise InputError(f'--image: {error}') from error
    pictures = _files(places(view.path(index) for index in chosen), out / 'pictures')
    keep_pictures_apart(out, pictures, flag='--out')
    skipped: dict[Path, InputError] = {}
    seen = _pictures(view, chosen, pictures, skipped, repeat=repeat, stages=stages)
    rows = seen if repeat or stages else _grouped(chain.from_iterable(seen), COLUMNS)
    heading = f'{name}, {split}: {len(chosen)} of {len(view)} images'
    sheets = [
        write_image(captioned_sheet(heading, part), out / f'sheet_{i}.jpg')
        for i, part in enumerate(_grouped(rows, ROWS), 1)
    ]
    if not sheets:
        last = list(skipped.values())[-1]
        raise InputError(f'no picture: {last}') from last
    return Browsed(sheets, list(skipped))


def _files(own: Mapping[str, Path], folder: Path) -> dict[str, Path]:
    """The picture of each image below ``folder``: its suffix becomes .jpg, or gets it added to tell two apart."""
    stems, names = Counter(place.with_suffix('') for place in own.values()), set(own.values())
    return {
        image: folder / place.with_name(f'{place.name if stems[stem] > 1 or stem in names else stem.name}.jpg')
        for image, place in own.items()
        for stem in [place.with_suffix('')]
    }


def _pictures(
    view: PipelineView,
    chosen: Sequence[int],
    files: Mapping[str, Path],
    skipped: dict[Path, InputError],
    *,
    repeat: int | None,
    stages: bool,
) -> Iterator[list[Captioned]]:
    """The pictures of each image for a sheet; each is written in its own size, too. See `skipping`."""
    for index in tqdm(chosen, desc='pictures', unit='image'):
        path = view.path(index)
        with skipping(path, skipped):
            try:
                seen = _stages(view, index) if stages else _draws(view, index, path, repeat)
            except InputError:
                raise
            except FAILURES as error:
                raise InputError(f'{path}: {unusable(error)}') from error
        if path in skipped:
            continue
        single = files[str(path)]
        for number, (_, picture) in enumerate(seen):
            file = single.with_stem(f'{single.stem}{f"_{number}" if len(seen) > 1 else ""}')
            write_image(picture.drawn(view.classes), file)
        yield [Captioned(picture.fitted(*ROOM).drawn(view.classes), lines) for lines, picture in seen]


def _stages(view: PipelineView, index: int) -> list[tuple[list[str], Annotated]]:
    """An image after each transform, and the lines to write below it."""
    path, stages = view.stages(index)
    titles = [f'{path.name}: {stages[0][0]}', *(name for name, _ in stages[1:])]
    return [([title, _contents(picture)], picture) for title, (_, picture) in zip(titles, stages, strict=True)]


def _draws(view: PipelineView, index: int, path: Path, repeat: int | None) -> list[tuple[list[str], Annotated]]:
    """An image as the network gets it, or its file and some draws of it, each with the lines to write below it."""
    stored = view.stored(index) if repeat else None
    seen = [] if stored is None else [([path.name, _contents(stored)], stored)]
    for draw in range(repeat or 1):
        fed = view.fed(index, draw)
        title = path.name if stored is None else f'draw {draw + 1}'
        if fed.path != path:
            title += f' gave way to {fed.path.name}'
        before = f'{_size(fed.stored_size)} → ' if stored is None and fed.stored_size else ''
        seen.append(([title, f'{before}{_contents(fed.picture)}'], fed.picture))
    return seen


def _contents(picture: Annotated) -> str:
    objects, ignored = len(picture.labels), len(picture.ignored)
    counted = f'{objects} object{"" if objects == 1 else "s"}' + (f', {ignored} ignored' if ignored else '')
    return f'{_size(picture.image.shape)}, {counted}'


def _size(shape: Sequence[int]) -> str:
    return f'{shape[1]} × {shape[0]}'


def _grouped(items: Iterator, size: int) -> Iterator[list]:
    """Lists of `size` items; the last may be shorter."""
    while group := list(islice(items, size)):
        yield group
