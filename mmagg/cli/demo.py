"""Find the instances in images, or in a video: pictures and JSON, or a video."""

import argparse
from pathlib import Path
from typing import Any

from mmagg.cli.arguments import (
    MODEL,
    Intermixed,
    add_model_options,
    add_runtime,
    add_weights,
    at_least,
    fraction,
    positive,
)
from mmagg.cli.video import add_video_options, run_video, video_of, without_video_options

EXIT_SOME_SKIPPED = 1
CONFIG_SUFFIXES = ('.py', '.json', '.yaml', '.yml', '.onnx')  # mmengine's, and that of exported models
FORMATS = ('coco', 'csv', 'geojson', 'label_studio', 'labelme', 'yolo')


class _ImagesAndModel(Intermixed):
    """A parser of images, however many, then a config and a checkpoint: argparse gives all of them to the images."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As of `argparse`; the config is told from images by its name, or else by its place."""
        found = super().parse_args(args, namespace)
        given = [*found.images, *filter(None, [found.config, found.checkpoint])]
        named = [i for i, text in enumerate(given) if i and ('::' in text or text.lower().endswith(CONFIG_SUFFIXES))]
        at = named[0] if named else len(given) if found.weights else max(1, len(given) - 2)
        if len(given) - at > 2:
            self.error(f'{" ".join(given[at + 2 :])}: images come first, then the config, then the checkpoint')
        found.images = [Path(image) for image in given[:at]]
        found.config, found.checkpoint = [*given[at:], None, None][:2]
        return found


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/demo.py``."""
    parser = _ImagesAndModel(
        usage='%(prog)s IMAGE|DIR|GLOB … [CONFIG [CHECKPOINT]] --out-dir DIR [options]\n'
        '       %(prog)s VIDEO [CONFIG [CHECKPOINT]] --out FILE [options]',
        description='Find the instances in images: a picture of each and one predictions.json (COCO format). Or in a '
        'video: another one, in which they are drawn.',
    )
    parser.add_argument(
        'images', nargs='+', metavar='IMAGE|DIR|GLOB', help='images, and folders, which are searched for images'
    )
    parser.add_argument('config', nargs='?', help=f'{MODEL}; needless for a --weights NAME, which has its own')
    parser.add_argument('checkpoint', nargs='?', help='.pth file')
    add_weights(parser, 'instead of a checkpoint:')
    parser.add_argument('--out-dir', type=Path, metavar='DIR', help='where the results of images go')
    parser.add_argument(
        '--score-thr', type=fraction, default=0.3, metavar='S', help='leave out less certain instances (%(default)s)'
    )
    parser.add_argument('--classes', type=_names, metavar='NAME,…', help='leave out other classes')
    parser.add_argument(
        '--max-detections', type=positive, metavar='N', help='the most certain ones of an image that are kept'
    )
    parser.add_argument(
        '--formats',
        type=_formats,
        default=(),
        metavar='F,…',
        help=f'more files for each image, below a folder of the name: {", ".join(FORMATS)}',
    )
    parser.add_argument(
        '--tolerance',
        type=float,
        default=0.0,
        metavar='PIXELS',
        help='simplify outlines of yolo and labelme by as much, 1 to correct them by hand (0: exact)',
    )
    parser.add_argument(
        '--batch-size', type=positive, default=1, metavar='B', help='images, or tiles, at once (%(default)s)'
    )
    parser.add_argument(
        '--workers', type=at_least(0), default=0, metavar='N', help='processes that read images (%(default)s)'
    )
    parser.add_argument('--tile', type=positive, metavar='PIXELS', help='predict large images by tiles of this side')
    parser.add_argument(
        '--overlap',
        type=fraction,
        default=0.2,
        metavar='S',
        help='share of a tile that its neighbour sees (%(default)s)',
    )
    parser.add_argument('--full-image', action='store_true', help='predict the whole image as well as its tiles')
    parser.add_argument('--tta', action='store_true', help='merge the predictions for six views of each image')
    parser.add_argument('--half', action='store_true', help='compute in float16 on a GPU, in bfloat16 on the CPU')
    add_model_options(parser)
    add_runtime(parser)
    add_video_options(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Run as the arguments of `parser` say; returns 1 if an image, or a frame, was skipped, the others are done."""
    if video := video_of(args.images):
        return run_video(args, video)
    options = without_video_options(args)
    from mmagg.apis.prediction import predict_folder

    found = predict_folder(**options)
    print(f'{len(found.coco["annotations"])} instances in {len(found.coco["images"])} images: {args.out_dir}')
    if found.coco['images'] and not found.coco['annotations']:
        print(_nothing(args, found.highest))
    if found.cap is not None and found.full:
        print(found.cap.reached(found.full, len(found.coco['images'])))
    return EXIT_SOME_SKIPPED if found.unreadable else 0


def _nothing(args: argparse.Namespace, highest: float | None) -> str:
    """What to say where nothing is certain enough."""
    if highest is not None:
        return f'the highest score is {highest:.3g}: a --score-thr below {args.score_thr:g} shows more'
    if args.tile is not None:  # what is less certain is left out before tiles are merged
        return f'no score reaches --score-thr {args.score_thr:g}'
    return 'the model finds nothing in them: has it been trained long enough?'


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(',') if name.strip()]


def _formats(text: str) -> list[str]:
    names = _names(text)
    if unknown := [name for name in names if name not in FORMATS]:
        raise argparse.ArgumentTypeError(f'{unknown[0]}: choose {", ".join(FORMATS)}')
    return names
