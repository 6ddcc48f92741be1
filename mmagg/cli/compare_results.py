"""Compare two result files: is B better than A, or is it chance?"""

import argparse
from pathlib import Path

from mmagg.cli.arguments import add_result_files, fraction, positive, read_result_files, seed
from mmagg.io.errors import InputError


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/compare.py``."""
    parser = argparse.ArgumentParser(
        description='Is B better than A, or is it chance? A paired bootstrap over images: ΔAP = AP(B) − AP(A) with its '
        '95 % interval, for all classes and each, by size; and the images whose detections changed most. What is in '
        'less than 5 images gets no interval.',
        epilog='example: python tools/analysis/compare.py instances_val2017.json solo.segm.json aggmask.segm.json '
        '--out solo-aggmask --images coco/images/val',
    )
    add_result_files(parser, 'results_a', 'results_b')
    parser.add_argument('--samples', type=positive, default=1000, metavar='S', help='of images (%(default)s)')
    parser.add_argument('--seed', type=seed, default=0, metavar='N', help='of the samples (%(default)s)')
    parser.add_argument(
        '--out',
        type=Path,
        required=True,
        metavar='DIR',
        help='folder for compare.json, compare.csv (classes and sizes), compare.png, changed_images.csv',
    )
    parser.add_argument(
        '--images',
        type=Path,
        metavar='DIR',
        help="draw the images that changed most, from this folder: the annotations' objects, A and B side by side",
    )
    parser.add_argument('--top', type=positive, default=12, metavar='N', help='images to name and draw (%(default)s)')
    parser.add_argument(
        '--score-thr', type=fraction, default=0.3, metavar='T', help='draw no less certain ones (%(default)s)'
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Compare as the arguments say."""
    from mmagg.evaluation.comparison import compare
    from mmagg.io.paths import keep_apart

    if args.images and not args.images.is_dir():
        raise InputError(f'--images {args.images}: no such folder')
    for written in (args.out, args.out / 'images'):  # which may be a link
        keep_apart({'--out': written}, [args.images])
    truth, a, b = read_result_files(args, 'results_a', 'results_b')
    result = compare(truth, a, b, samples=args.samples, seed=args.seed, top=args.top)
    if args.images:  # first, because images may be missing
        result.draw_images(args.images, args.out / 'images', score_thr=args.score_thr)
    result.write(args.out)
    print(result)
    print(f'written to {args.out}')
