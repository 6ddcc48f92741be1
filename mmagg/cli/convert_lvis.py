"""Restrict LVIS annotations to COCO's categories."""

import argparse
from pathlib import Path

from mmagg.io.errors import InputError


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/dataset_converters/cocofy_lvis.py``."""
    parser = argparse.ArgumentParser(
        description="Restrict LVIS annotations (v0.5 or v1) to COCO's 80 categories, matched by synset and with "
        "COCO's category ids, for AP* of COCO-trained models (LVISStarMetric).",
        epilog='example: python tools/dataset_converters/cocofy_lvis.py lvis_v0.5_val.json lvis_v0.5_val_cocofied.json',
    )
    parser.add_argument('source', type=Path, metavar='LVIS.json', help="LVIS's annotation file")
    parser.add_argument('out', type=Path, metavar='OUT.json', help='file to write')
    return parser


def run(args: argparse.Namespace) -> None:
    """Convert as the arguments say."""
    from mmagg.datasets.cocofied_lvis import cocofied, read_lvis
    from mmagg.io.files import check_file, write_json
    from mmagg.io.paths import keep_apart

    check_file(args.out, 'OUT.json')
    keep_apart({'OUT.json': args.out}, [args.source])
    content = read_lvis(args.source)
    try:
        kept = cocofied(content)
    except ValueError as error:
        raise InputError(f'{args.source}: {error}') from error
    write_json(kept, args.out)
    print(
        f'{len(kept["annotations"])} of {len(content["annotations"])} annotations, {len(kept["categories"])} of '
        f'{len(content["categories"])} categories, {len(kept["images"])} images in {args.out}'
    )
