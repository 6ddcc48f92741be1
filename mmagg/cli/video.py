"""A video instead of images for ``mmagg demo``."""

import argparse
from pathlib import Path
from typing import Any

from mmagg.cli.arguments import positive
from mmagg.io.errors import InputError

EXIT_SOME_SKIPPED = 1
OWN = 'out', 'track', 'tracks', 'every'  # what videos alone have
OF_IMAGES = 'out_dir', 'formats', 'tolerance', 'workers'  # what they do not


def add_video_options(parser: argparse.ArgumentParser) -> None:
    """``--out``, ``--track``, ``--tracks`` and ``--every``."""
    videos = parser.add_argument_group('a video instead of images')
    videos.add_argument(
        '--out', type=Path, metavar='FILE', help='the video to write, with its instances: .mp4, .mov, .mkv or .avi'
    )
    videos.add_argument(
        '--track', action='store_true', help="number the objects through the video (pip install 'mmagg[track]')"
    )
    videos.add_argument(
        '--tracks', type=Path, metavar='FILE', help='their table, .csv, or .json with masks (OUT.csv); with --track'
    )
    videos.add_argument('--every', type=positive, metavar='N', help='look at each N-th frame alone')


def video_of(images: Any) -> Path | None:
    """The video among the images of the command, which it must be alone; None where there is none."""
    from mmagg.io.video import SUFFIXES

    paths = [Path(image) for image in (images if isinstance(images, list) else [images])]
    videos = [path for path in paths if path.suffix.lower() in SUFFIXES and not path.is_dir()]
    if videos and len(paths) > 1:
        raise InputError(f'{videos[0]}: a video is done alone; name no other images or videos')
    return videos[0] if videos else None


def without_video_options(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments for images.

    Raises:
        InputError: some of them are for videos, or there is no ``--out-dir``.
    """
    _refuse(args, OWN, 'is for a video; images have --out-dir')
    if args.out_dir is None:
        raise InputError('--out-dir DIR is missing: where do the results go?')
    return {name: value for name, value in vars(args).items() if name not in OWN}


def run_video(args: argparse.Namespace, video: Path) -> int:
    """Predict a video; returns 1 if frames were skipped, the others are done."""
    _refuse(args, OF_IMAGES, 'is for images; a video has --out FILE')
    if args.out is None:
        raise InputError(f'{video}: --out FILE is missing: which video is to be written?')
    from mmagg.apis.video import predict_video

    options = {name: value for name, value in vars(args).items() if name not in ('images', *OF_IMAGES)}
    done = predict_video(video, **{**options, 'every': args.every or 1})
    tracks = '' if done.tracks is None else f', {done.tracks} tracks'
    files = ', '.join(map(str, done.files))
    print(f'{done.objects} instances in {done.frames} frames{tracks}: {files} ({done.codec}, {done.fps:.4g} fps)')
    return EXIT_SOME_SKIPPED if done.skipped else 0


def _refuse(args: argparse.Namespace, names: tuple[str, ...], why: str) -> None:
    for name in names:
        if getattr(args, name, None):
            raise InputError(f'--{name.replace("_", "-")} {why}')
