"""Set the papers' figures beside measured ones."""

import argparse
from pathlib import Path

from mmagg.costs.published import PAPERS, RECONSTRUCTION_DIMS


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/paper_tables.py``."""
    parser = argparse.ArgumentParser(
        description='Published parameters and FLOPs beside those of the configs here, a table in Markdown for each '
        'table of a paper, with what is counted. Nothing is trained, downloaded or computed: shapes suffice. '
        "The exit code says nothing about the figures. With --ann also what is counted on a data set: AggMask's "
        "average FLOPs (Table 4) and those of its heads by level (Fig. 4), MEInst's reconstruction error (Fig. 5), and "
        "SOLO's statistics of objects (Sec. 1).",
        epilog='example: python tools/analysis/paper_tables.py --only a2fpn aggmask --out tables.md',
    )
    parser.add_argument('--only', nargs='+', choices=PAPERS, default=PAPERS, metavar='NAME', help=', '.join(PAPERS))
    parser.add_argument('--out', type=Path, metavar='FILE', help='Markdown file to write the tables to as well')
    parser.add_argument(
        '--codec',
        type=Path,
        metavar='FILE',
        help="MEInst's reconstruction error with this dictionary, not one fitted to --ann: the .npz of "
        f'fit_mask_codec.py --codec pca --dims {RECONSTRUCTION_DIMS}, or more',
    )
    parser.add_argument(
        '--ann',
        type=Path,
        metavar='FILE',
        help="an annotation file in COCO format; the papers': val2017, and train2017 for MEInst's",
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
