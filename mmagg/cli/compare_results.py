"""Two result files compared, as ``tools/analysis/compare.py`` does it."""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from mmagg.cli.arguments import add_result_files, fraction, positive
from mmagg.datasets.coco_reader import read_detections, read_truth
from mmagg.evaluation.comparison import FEWEST_IMAGES, Change, Differences, bootstrap, changed_images, judge
from mmagg.evaluation.difference_chart import Interval, plot_differences
from mmagg.evaluation.matching import SIZES
from mmagg.evaluation.result_pictures import side_by_side
from mmagg.io.errors import InputError
from mmagg.io.files import check_folder, write_json, written_whole
from mmagg.io.images import write_image
from mmagg.io.tables import percent, write_table

CLASSES_DRAWN = 20

Row = dict[str, str | float | None]


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/compare.py``."""
    parser = argparse.ArgumentParser(
        description='Is B better than A, or is it chance? A paired bootstrap over images: ΔAP = AP(B) − AP(A) with its '
        '95 % interval, for all classes and each, by size; and the images whose detections changed most. What is in '
        f'less than {FEWEST_IMAGES} images gets no interval.',
        epilog='example: python tools/analysis/compare.py instances_val2017.json solo.segm.json aggmask.segm.json '
        '--out solo-aggmask --images coco/images/val',
    )
    add_result_files(parser, 'results_a', 'results_b')
    parser.add_argument('--samples', type=positive, default=1000, metavar='S', help='of images (%(default)s)')
    parser.add_argument('--seed', type=int, default=0, metavar='N', help='of the samples (%(default)s)')
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
    """Compare as the arguments of `parser` say."""
    check_folder(args.out)
    if args.images and not args.images.is_dir():
        raise InputError(f'--images {args.images}: no such folder')
    if args.seed < 0:
        raise InputError(f'--seed {args.seed}: must not be negative')
    truth = read_truth(args.annotations, args.iou_type)
    a, b = (judge(read_detections(path, truth), truth.objects) for path in (args.results_a, args.results_b))
    changes = changed_images(a, b, truth.objects, images=len(truth.image_ids))
    if args.images:  # first, because images may be missing
        for place, change in enumerate(changes[: args.top], 1):
            name = f'{place:02d}_{Path(truth.names[change.image]).name}'
            shown = a.detections, b.detections
            picture = side_by_side(
                change.image, truth, shown, folder=args.images, iou_type=args.iou_type, score_thr=args.score_thr
            )
            write_image(picture, args.out / 'images' / name)
    differences = bootstrap(
        a,
        b,
        truth.objects,
        images=len(truth.image_ids),
        classes=len(truth.classes),
        samples=args.samples,
        seed=args.seed,
    )
    rows = _rows(differences, truth.classes)
    images = [{'image_id': truth.image_ids[c.image], 'file_name': truth.names[c.image], **_numbers(c)} for c in changes]
    report = {
        'annotations': str(args.annotations),
        'results_a': str(args.results_a),
        'results_b': str(args.results_b),
        'iou_type': args.iou_type,
        'images': len(truth.image_ids),
        'samples': args.samples,
        'seed': args.seed,
        'sizes': [row for row in rows if not row['class']],
        'changed_images': images[: args.top],
    }
    write_json(report, args.out / 'compare.json')
    write_table(list(rows[0]), (row.values() for row in rows), args.out / 'compare.csv')
    columns = ['image_id', 'file_name', *Change._fields[1:]]
    write_table(columns, ([row[column] for column in columns] for row in images), args.out / 'changed_images.csv')
    with written_whole(args.out / 'compare.png') as path:
        plot_differences(_title(args), _lines(rows), path)
    print(_table(report))
    print(f'written to {args.out}')


def _rows(differences: Differences, classes: Sequence[str]) -> list[Row]:
    """A row for each class, the mean over all (class '') first, and size; fractions, None where there is none."""
    rows = []
    for place, name in ((-1, ''), *enumerate(classes)):
        for size, label in enumerate(SIZES):
            a, b, low, high, above, images = (values[size, place].item() for values in differences)
            values = {'ap_a': a, 'ap_b': b, 'delta': b - a, 'low': low, 'high': high, 'samples_above_0': above}
            known = {key: None if math.isnan(value) else value for key, value in values.items()}
            rows.append({'class': name, 'size': label, 'images': images, **known})
    return rows


def _numbers(change: Change) -> dict[str, float]:
    return {key: value for key, value in change._asdict().items() if key != 'image'}


def _title(args: argparse.Namespace) -> str:
    return f'{args.results_b.name} − {args.results_a.name}'


def _lines(rows: Sequence[Row]) -> list[list[Interval]]:
    """All classes by size, then the classes with the largest differences."""
    whole = [row for row in rows if not row['class'] and row['delta'] is not None]
    single = [row for row in rows if row['class'] and row['size'] == 'all' and row['low'] is not None]
    single.sort(key=lambda row: -row['delta'])
    if len(single) > CLASSES_DRAWN:
        single = single[: CLASSES_DRAWN // 2] + single[-CLASSES_DRAWN // 2 :]
    return [[_interval(row, f'all classes, {row["size"]}') for row in whole], [_interval(row) for row in single]]


def _interval(row: Row, name: str = '') -> Interval:
    ends = (math.nan if row[key] is None else row[key] for key in ('low', 'high'))
    return Interval(name or row['class'], row['delta'], *ends)


def _table(report: dict) -> str:
    lines = [
        f'{"AP":8}{"A":>8}{"B":>8}{"Δ":>8}   95 % interval   ({report["images"]} images, {report["samples"]} samples)'
    ]
    for row in report['sizes']:
        a, b, delta, low, high = (percent(row[key]) for key in ('ap_a', 'ap_b', 'delta', 'low', 'high'))
        lines.append(f'{row["size"]:8}{a:>8}{b:>8}{delta:>8}   {low} to {high}')
    lines.append('images that changed most:' if report['changed_images'] else 'no image changed')
    for image in report['changed_images']:
        lines.append(
            f'  {image["file_name"]}  change {image["change"]:.2f}, objects +{image["gained"]} −{image["lost"]}, '
            f'wrong {image["wrong_a"]} → {image["wrong_b"]}'
        )
    return '\n'.join(lines)
