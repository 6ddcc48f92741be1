"""What the data pipeline feeds to the network, as ``tools/browse_dataset.py`` shows it."""

import argparse
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

import cv2
from tqdm import tqdm

from mmagg.apis.config import load_config
from mmagg.apis.data import check_semantic_maps, use_coco_folder
from mmagg.cli.arguments import add_cfg_options, add_coco, positive
from mmagg.inside.pipeline_view import PipelineView
from mmagg.io.errors import EXPECTED, InputError, one_line
from mmagg.io.files import check_folder
from mmagg.io.images import write_image
from mmagg.visualization.annotated import Annotated
from mmagg.visualization.captioned_sheet import Captioned, captioned_sheet

ROOM = 400, 530  # height and width of a picture on a sheet, in pixels
COLUMNS, ROWS = 4, 5  # of a sheet; more columns where a row belongs to one image
# A file is missing, broken or empty, or a transform cannot do what it is told.
FAILURES = (*EXPECTED, NotImplementedError, cv2.error)


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/browse_dataset.py``."""
    parser = argparse.ArgumentParser(
        description='Draw what the data pipeline feeds to the network, after augmentation and before normalisation: '
        'masks, boxes and labels, and hatched what is ignored. Writes sheets, and each picture in its own size.',
        epilog='example: python tools/browse_dataset.py configs/solo/solo_r50_fpn_3x_coco.py --coco mine --repeat 3',
    )
    parser.add_argument('config', help='config file, or mmdet::<path> for one of mmdet')
    add_coco(parser, 'run the pipeline')
    parser.add_argument('--split', choices=('train', 'val', 'test'), default='train', help='default: %(default)s')
    parser.add_argument(
        '--out', type=Path, metavar='DIR', help='folder for the pictures; default: work_dirs/browse/<config name>'
    )
    parser.add_argument('--number', type=positive, default=16, metavar='N', help='images, at random (%(default)s)')
    parser.add_argument('--image', nargs='+', metavar='NAME', help='these images instead, by file name or id')
    rows = parser.add_mutually_exclusive_group()
    rows.add_argument('--repeat', type=positive, metavar='K', help='a row for each image: its file, then K draws of it')
    rows.add_argument('--stages', action='store_true', help='a row for each image: what each transform makes of it')
    parser.add_argument('--seed', type=int, default=0, metavar='N', help='of images and draws (%(default)s)')
    add_cfg_options(parser, 'change the config')
    return parser


def run(args: argparse.Namespace) -> None:
    """Draw as the arguments of `parser` say."""
    cfg = load_config(args.config, args.cfg_options)
    if args.coco:
        use_coco_folder(cfg, args.coco)
    if not cfg.get(f'{args.split}_dataloader'):
        raise InputError(f'config {args.config}: no `{args.split}_dataloader`')
    if args.split == 'train':
        check_semantic_maps(cfg)
    name = Path(args.config).stem
    out = args.out or Path('work_dirs/browse') / name
    check_folder(out)
    view = PipelineView(cfg[f'{args.split}_dataloader'].dataset, seed=args.seed)
    if not len(view):
        raise InputError(f'the {args.split} data have no images; filter_cfg may leave all of them out')
    try:
        chosen = [view.find(image) for image in args.image] if args.image else view.some(args.number)
    except LookupError as error:
        raise InputError(f'--image: {error}') from error
    paths = [view.path(index) for index in chosen]
    parent, stems = os.path.commonpath([path.parent for path in paths]), Counter(path.with_suffix('') for path in paths)

    def images() -> Iterator[list[Captioned]]:
        """The pictures of each image; each is written in its own size, too."""
        for index, path in zip(tqdm(chosen, desc='pictures', unit='image'), paths, strict=True):
            try:
                seen = _seen(view, index, path, args)
            except FAILURES as error:
                raise InputError(f'{path}: cannot be read or transformed ({one_line(error)})') from error
            single = out / 'pictures' / path.relative_to(parent)
            single = single if stems[path.with_suffix('')] > 1 else single.with_suffix('')
            for number, (_, picture) in enumerate(seen):
                file = single.with_name(f'{single.name}{f"_{number}" if len(seen) > 1 else ""}.jpg')
                write_image(picture.drawn(view.classes), file)
            yield [Captioned(picture.fitted(*ROOM).drawn(view.classes), lines) for lines, picture in seen]

    rows = images() if args.repeat or args.stages else _grouped(chain.from_iterable(images()), COLUMNS)
    heading = f'{name}, {args.split}: {len(chosen)} of {len(view)} images'
    for number, part in enumerate(_grouped(rows, ROWS), 1):
        write_image(captioned_sheet(heading, part), out / f'sheet_{number}.jpg')
    print(f'{out}: {number} sheet(s), and each picture in pictures/')


def _seen(view: PipelineView, index: int, path: Path, args: argparse.Namespace) -> list[tuple[list[str], Annotated]]:
    """Pictures of an image, with what to write below them."""
    if args.stages:
        path, stages = view.stages(index)
        titles = [f'{path.name}: {stages[0][0]}', *(name for name, _ in stages[1:])]
        return [([title, _contents(picture)], picture) for title, (_, picture) in zip(titles, stages, strict=True)]
    stored = view.stored(index) if args.repeat else None
    seen = [] if stored is None else [([path.name, _contents(stored)], stored)]
    for draw in range(args.repeat or 1):
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
    """Lists of so many items; the last may be shorter."""
    while group := list(islice(items, size)):
        yield group
