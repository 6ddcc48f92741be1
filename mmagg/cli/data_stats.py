"""Count what is in a data set, and say which config suits it."""

import argparse
from pathlib import Path

from mmagg.cli.arguments import at_least
from mmagg.cli.measuring import add_json
from mmagg.cli.next_command import sibling


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/data_stats.py``."""
    parser = argparse.ArgumentParser(
        description='What is in a data set, and which config suits it? Objects and images of each class, objects of an '
        'image, sizes, crowding; then, of each config, the objects that get no cell or location, lose all of theirs to '
        'others, are too small to see or are more than it may return of an image, by its own assigner at the size at '
        'which it tests. Without --config: those of configs/own and one of each method, the best first. Images are '
        'not read.',
        epilog='example: python tools/analysis/data_stats.py mine',
    )
    parser.add_argument(
        'source', type=Path, metavar='DIR|ANN.json', help='folder in COCO format, or an annotation file'
    )
    parser.add_argument('--config', help='this one alone, with its levels; a file, or mmagg::<path>')
    parser.add_argument(
        '--images',
        type=at_least(0),
        default=1000,
        metavar='N',
        help='look at the masks of so many at most, evenly spread; 0: all (%(default)s). Classes are counted in all',
    )
    parser.add_argument(
        '--out',
        type=Path,
        metavar='DIR',
        help='folder for classes.csv, configs.csv, data_stats.json and data_stats.png',
    )
    add_json(parser, 'the numbers')
    return parser


def run(args: argparse.Namespace) -> None:
    """Count, print and write as the arguments say."""
    from mmagg.apis.config import base_files
    from mmagg.datasets.annotation_exports import split_command
    from mmagg.datasets.coco_folder import folder_of
    from mmagg.experiments.data_stats import annotation_files_of, data_stats
    from mmagg.io.files import check_file, check_folder, write_json
    from mmagg.io.paths import keep_apart

    files = annotation_files_of(args.source)
    outputs = {'--json': args.json, '--out': args.out}
    if args.json is not None:
        check_file(args.json, '--json')
    if args.out is not None:
        check_folder(args.out)
    bases = [] if args.config is None else [args.config, *base_files(args.config)]
    keep_apart(
        {flag: path for flag, path in outputs.items() if path is not None}, [args.source, *files.values(), *bases]
    )
    stats = data_stats(args.source, config=args.config, images=args.images)
    print(stats)
    print(f'\n{stats.advice}')
    folder = args.source if args.source.is_dir() else folder_of(args.source)
    if folder is None:
        print(f'to train: a folder; {split_command(args.source)} makes one')
    else:
        config = f'mmagg::{stats.fits[0].config}.py' if stats.listed else args.config
        more = [] if stats.more_detections is None else ['--max-detections', stats.more_detections]
        print(f'next: {sibling("train", config, "--coco", folder, *more)}')
    if args.out is not None:
        stats.write(args.out)
        print(f'{args.out}: classes.csv, configs.csv, data_stats.json, data_stats.png')
    if args.json is not None:
        write_json(stats.report(), args.json)
        print(f'written to {args.json}')
