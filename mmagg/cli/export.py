"""Write a trained model as one ONNX file, which runs without PyTorch."""

import argparse
from pathlib import Path

from mmagg.cli.arguments import CONFIG, add_cfg_options, add_trust_flag, add_weights, positive


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/export.py``."""
    parser = argparse.ArgumentParser(
        description='Write a trained model as one ONNX file of standard operators, with classes and settings in it. '
        'demo, test, serve, benchmark and Segmenter take the file in the place of config and checkpoint, with ONNX '
        'Runtime or OpenVINO; demo and Segmenter need neither PyTorch nor MMDetection then.',
        epilog='example: python tools/export.py work_dirs/mine/mine.py work_dirs/mine/epoch_12.pth --out model.onnx',
    )
    parser.add_argument('config', nargs='?', help=CONFIG)
    parser.add_argument('checkpoint', nargs='?', help='.pth file')
    add_weights(parser, 'instead of a checkpoint:')
    parser.add_argument('--out', type=Path, required=True, metavar='FILE', help='the .onnx file to write')
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument(
        '--shape',
        type=positive,
        nargs=2,
        metavar=('H', 'W'),
        help='the only size of the input; images are fitted into it',
    )
    sizes.add_argument('--dynamic', action='store_true', help='any size of the input (default)')
    parser.add_argument(
        '--batch', type=positive, metavar='B', help='images at once (default: any number; 1 with AggMask)'
    )
    parser.add_argument(
        '--candidates',
        type=positive,
        metavar='N',
        help='the most instances of an image whose masks are computed (default: 300; with boxes, as many as the config '
        'lets it find)',
    )
    parser.add_argument(
        '--part', choices=('all', 'neck'), default='all', help='neck: the pyramid alone, of any detector (default: all)'
    )
    parser.add_argument('--float-image', action='store_true', help='take float32 from 0 to 255 instead of uint8')
    parser.add_argument('--half', action='store_true', help='compute in float16, for GPUs')
    parser.add_argument(
        '--int8', action='store_true', help='compute most convolutions in int8, for CPUs; with --calibrate'
    )
    parser.add_argument(
        '--calibrate',
        metavar='IMAGES',
        help='folder, glob or file of images such as the model will see, which give the ranges of int8 (at most 100)',
    )
    parser.add_argument(
        '--check',
        metavar='IMAGES',
        help='folder, glob or file of images (at most 50) to predict with PyTorch and with the file in each runtime '
        'that is installed; a float32 file that finds something else is not written',
    )
    add_cfg_options(parser, 'change the config, e.g. model.test_cfg.max_per_img=300')
    add_trust_flag(parser, 'read a checkpoint that holds code')
    return parser


def run(args: argparse.Namespace) -> None:
    """Export as the arguments say."""
    from mmagg.apis.exporting import export

    shape = tuple(args.shape) if args.shape else None
    done = export(
        args.config,
        args.checkpoint,
        out=args.out,
        weights=args.weights,
        shape=shape,
        batch=args.batch,
        candidates=args.candidates,
        part=args.part,
        float_image=args.float_image,
        half=args.half,
        int8=args.int8,
        calibrate=args.calibrate,
        check=args.check,
        cfg_options=args.cfg_options,
        trust_checkpoint=args.trust_checkpoint,
    )
    print(f'{done.path}: {done.path.stat().st_size / 1e6:.1f} MB, opset {done.opset}, {", ".join(done.outputs)}')
    for check in done.checks:
        print(check)
