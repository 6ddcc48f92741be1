"""Set the papers' figures beside measured ones."""

import argparse
from pathlib import Path

from mmagg.costs.published import PAPERS, RECONSTRUCTION_DIMS


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/paper_tables.py``."""
    parser = argparse.ArgumentParser(
        description='Published parameters and FLOPs beside those of the configs here, a table in Markdown for each '
        'table of a paper, with what is counted. Nothing is trained, downloaded or computed: shapes suffice. '
        'The exit code says nothing about the figures. With --codec and --ann also how much of masks is lost.',
        epilog='example: python tools/analysis/paper_tables.py --only a2fpn aggmask --out tables.md',
    )
    parser.add_argument('--only', nargs='+', choices=PAPERS, default=PAPERS, metavar='NAME', help=', '.join(PAPERS))
    parser.add_argument('--out', type=Path, metavar='FILE', help='Markdown file to write the tables to as well')
    parser.add_argument(
        '--codec',
        type=Path,
        metavar='FILE',
        help="MEInst's reconstruction error with this dictionary: the .npz of fit_mask_codec.py --codec pca --dims "
        f'{RECONSTRUCTION_DIMS}, or more',
    )
    parser.add_argument(
        '--ann', type=Path, metavar='FILE', help="measured on this annotation file's masks; the paper's: train2017"
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Measure and print as the arguments of `parser` say."""
    from mmagg.costs.paper_tables import paper_tables
    from mmagg.io.files import check_file, written_whole
    from mmagg.io.paths import keep_apart

    if args.out is not None:
        check_file(args.out)
    keep_apart({'--out': args.out}, [args.codec, args.ann])
    text = paper_tables(only=args.only, codec=args.codec, ann=args.ann)
    print(text, end='')
    if args.out is not None:
        with written_whole(args.out) as temporary:
            temporary.write_text(text, encoding='utf-8')
        print(f'\nwritten to {args.out}')
