"""AP by size and by coverage of a result file, as ``tools/analysis/ap_by_group.py`` measures it."""

import argparse
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from mmagg.cli.arguments import add_result_files, fraction
from mmagg.datasets.coco_reader import read_detections, read_truth
from mmagg.evaluation.group_chart import plot_groups
from mmagg.evaluation.groups import EDGES, GroupScores, by_coverage, by_size, coverage_names
from mmagg.evaluation.heading import heading
from mmagg.evaluation.matching import SIZES, overlaps
from mmagg.io.errors import InputError
from mmagg.io.files import check_folder, write_json, written_whole
from mmagg.io.tables import percent, plain, write_table

FILES = 'ap_by_group.csv', 'ap_by_group.json', 'ap_by_group.png'
LABELS = {'size': "size (COCO's areas)", 'coverage': "share of an object's box that others cover"}

Groups = dict[str, tuple[Sequence[str], GroupScores]]


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/ap_by_group.py``."""
    parser = argparse.ArgumentParser(
        description='Which objects does a model find, and how well? AP, AP50, AP75, AR and the number of objects by '
        'size (small, medium and large, as COCO has them) and by coverage, which tells crowded scenes from lone '
        "objects: the share of an object's bounding box that the masks of all other annotated objects cover, of "
        'whatever class, crowd regions too (with --iou-type bbox: their boxes). As with sizes, objects of other groups '
        'are ignored, and a detection that is matched to nothing counts in the group of its own coverage: the share of '
        'its box that annotated objects cover but for the one that it overlaps most.',
        epilog='example: python tools/analysis/ap_by_group.py instances_val2017.json results.segm.json --out groups',
    )
    add_result_files(parser, 'results')
    parser.add_argument(
        '--edges',
        type=fraction,
        nargs='+',
        default=list(EDGES),
        metavar='E',
        help='upper ends of the groups by coverage, each in its group; the last one has the rest (0 0.1 0.3)',
    )
    parser.add_argument('--out', type=Path, metavar='DIR', help=f'write {", ".join(FILES)}')
    return parser


def run(args: argparse.Namespace) -> None:
    """Measure as the arguments of `parser` say."""
    if any(low >= high for low, high in pairwise([*args.edges, 1])):
        raise InputError(f'--edges {" ".join(f"{edge:g}" for edge in args.edges)}: must ascend and be less than 1')
    if args.out:
        check_folder(args.out)
    truth = read_truth(args.annotations, args.iou_type)
    detections = read_detections(args.results, truth)
    case = detections, truth.objects, overlaps(detections, truth.objects)
    counts = dict(images=len(truth.image_ids), classes=len(truth.classes))
    groups = {
        'size': (list(SIZES), by_size(*case, **counts)),
        'coverage': (coverage_names(args.edges), by_coverage(*case, **counts, edges=args.edges)),
    }
    _print(groups)
    if args.out:
        report = {**heading(args, truth, detections), 'coverage_edges': args.edges}
        for kind, (names, scores) in groups.items():
            values = {field: plain(values[:, -1]) for field, values in scores._asdict().items()}
            report[kind] = [
                {'group': name, **{field: value[place] for field, value in values.items()}}
                for place, name in enumerate(names)
            ]
        write_json(report, args.out / FILES[1])
        columns = 'by', 'group', 'class', *GroupScores._fields
        write_table(columns, _rows(groups, truth.classes), args.out / FILES[0])
        with written_whole(args.out / FILES[2]) as path:
            plot_groups({LABELS[kind]: group for kind, group in groups.items()}, path)
        print(f'{args.out}: {", ".join(FILES)}')


def _rows(groups: Groups, classes: Sequence[str]) -> Iterator[tuple]:
    """Of each group the mean over the classes (''), then each class that it has; fractions."""
    for kind, (names, scores) in groups.items():
        for place, name in enumerate(names):
            for label in (-1, *scores.objects[place, :-1].nonzero()[0]):
                values = (plain(values[place, label]) for values in scores)
                yield kind, name, '' if label == -1 else classes[label], *values


def _print(groups: Groups) -> None:
    lines = []
    for kind, (names, scores) in groups.items():
        lines.append(f'{kind:12}{"AP":>8}{"AP50":>8}{"AP75":>8}{"AR":>8}{"objects":>10}')
        for place, name in enumerate(names):
            *shares, count = (values[place, -1].item() for values in scores)
            lines.append(f'{name:12}' + ''.join(f'{percent(share):>8}' for share in shares) + f'{count:10}')
    print('\n'.join(lines))
