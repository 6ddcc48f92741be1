"""Pack results for COCO's evaluation server."""

import argparse
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/pack_results.py``."""
    parser = argparse.ArgumentParser(
        description="Write the masks, or the boxes, of a COCO result file as COCO's evaluation server takes them: "
        'alone, in a JSON of the name that it wants, zipped.',
        epilog='example: python tools/analysis/pack_results.py results.json detections_test-dev2017_solo_results.zip',
    )
    parser.add_argument(
        'results', type=Path, metavar='RESULTS', help='results in COCO format, as test.py --out has them'
    )
    parser.add_argument('out', type=Path, metavar='OUT.zip', help='detections_SET_ALG_results.zip, in any folder')
    parser.add_argument(
        '--iou-type', choices=('segm', 'bbox'), default='segm', help='the challenge: masks or boxes (%(default)s)'
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Pack as the arguments say."""
    from mmagg.evaluation.submission import check_name, pack_results
    from mmagg.io.files import check_file, require_file
    from mmagg.io.paths import keep_apart

    check_name(args.out)
    check_file(args.out, 'OUT.zip')
    require_file(args.results, 'results')
    keep_apart({'OUT.zip': args.out}, [args.results])
    number = pack_results(**vars(args))
    what = {'segm': 'masks', 'bbox': 'boxes'}[args.iou_type]
    print(f'{number} {what} in {args.out}')
