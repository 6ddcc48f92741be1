"""Fit a mask codec to a data set."""

import argparse
from pathlib import Path

from mmagg.cli.arguments import add_device, positive, seed

CURVE = (20, 40, 60, 80, 100)
NUMBERS = '1 - mIoU in %, of masks and what comes back of them; those held out from the fit say what to expect'


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/fit_mask_codec.py``."""
    parser = argparse.ArgumentParser(
        description='Fit the dictionary of a mask codec (MEInst) to the masks of a data set, each cropped to its box: '
        "the principal components, which the release's .npz also holds; mean and scale of cosines; or an auto-encoder. "
        'Prints the reconstruction error, 1 - mIoU, over the dimensions (Figure 5 of the paper) for all objects and '
        "for COCO's small, medium and large ones. Writes FILE, and the errors to FILE.csv and FILE.png beside it.",
        epilog='example: python tools/analysis/fit_mask_codec.py --ann data/coco/annotations/instances_train2017.json '
        '--out data/coco/meinst_28_60.npz',
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        '--coco',
        type=Path,
        metavar='DIR',
        help='fit to DIR/annotations/instances_train.json (or …_train2017.json), and measure on instances_val too',
    )
    source.add_argument('--ann', dest='annotations', type=Path, metavar='FILE', help='fit to this annotation file')
    parser.add_argument('--held-out', type=Path, metavar='FILE', help='measure on the masks of this one as well')
    parser.add_argument('--out', type=Path, required=True, metavar='FILE', help='.npz to write')
    parser.add_argument(
        '--codec', choices=('pca', 'dct', 'autoencoder'), default='pca', help='what to fit (%(default)s)'
    )
    parser.add_argument('--size', type=positive, default=28, metavar='M', help='masks are M x M (%(default)s)')
    parser.add_argument('--dims', type=positive, default=60, metavar='D', help='codes of a mask (%(default)s)')
    parser.add_argument('--per-class', action='store_true', help='pca: a dictionary for each class')
    parser.add_argument(
        '--sigmoid',
        choices=('constant', 'random', 'none'),
        default='constant',
        help="pca: fit to logits of a constant, to the release's random ones, or to the masks (%(default)s); the "
        'config says the same',
    )
    parser.add_argument(
        '--curve',
        type=positive,
        nargs='+',
        default=CURVE,
        metavar='D',
        help=f'dimensions to measure at, beside --dims ({" ".join(map(str, CURVE))})',
    )
    parser.add_argument(
        '--compare', action='store_true', help='measure the other codecs as well; trains an auto-encoder per dimension'
    )
    parser.add_argument(
        '--against',
        type=positive,
        metavar='R',
        help='compare with masks of R x R, to which those of M x M that come back are resized, so that sizes can be '
        'compared (M)',
    )
    parser.add_argument(
        '--iterations', type=positive, default=3000, metavar='N', help='auto-encoder steps of 256 masks (%(default)s)'
    )
    parser.add_argument('--seed', type=seed, default=0, help='of what is random (%(default)s)')
    parser.add_argument('--workers', type=positive, metavar='N', help='processes that draw masks (one per core)')
    add_device(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Fit and measure, write the files and print the table."""
    from mmagg.apis.data import data_files
    from mmagg.experiments.fit_mask_codec import fit_mask_codec
    from mmagg.io.errors import InputError
    from mmagg.io.files import check_file
    from mmagg.io.paths import keep_apart

    options = vars(args)
    out = options.pop('out')
    if out.suffix != '.npz':
        raise InputError(f'--out {out}: name an .npz file')
    outputs = {f'{suffix} of --out': out.with_suffix(suffix) for suffix in ('.npz', '.csv', '.png')}
    keep_apart(outputs, [args.annotations, args.held_out, *data_files(coco=args.coco)])
    for flag, file in outputs.items():
        check_file(file, flag)
    report = fit_mask_codec(**options)
    report.write(out)
    print(*report.counts, '', NUMBERS, '', report.table(), '', sep='\n')
    print(f'written to {out}; in a config: codec={report.config(out)}')
