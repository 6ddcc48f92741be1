"""Count parameters and multiply-adds."""

import argparse
from pathlib import Path

from mmagg.cli.arguments import add_cfg_options, positive
from mmagg.cli.measuring import add_json, add_shape, print_report

DESCRIPTION = """\
Parameters and FLOPs of a detector, part by part, for one image. A multiply-add is one FLOP.
Weights are random, none are downloaded. Where shapes suffice for counting, nothing is computed.

conventions:
  modern  every multiply-add of convolutions and matrix products that this code does, in modules or
          functions (deformable convolutions without their sampling). Not: biases, normalisation,
          activations, pooling, interpolation. A head of mmagg makes masks on demand: --candidates
          of them, evenly spread over all grid cells (SOLO family) or locations (boxes).
  paper   what MMDetection v1 counted, hence what many papers print. Modules only: convolutions with
          bias (transposed ones at their output's size), linear layers, 2 per element of batch
          normalisation, 1 per element of activations, poolings and upsampling modules. Not:
          GroupNorm, LayerNorm, attention, deformable convolutions and whatever is called as a
          function, such as dynamic convolutions. A head of mmagg computes, as its original does,
          the masks of all cells, from upsampled features, or the coefficients of all locations.

Both count the heads of a two-stage detector for 1000 boxes and 100 masks.
"""


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/get_flops.py``."""
    parser = argparse.ArgumentParser(
        description=DESCRIPTION,
        epilog='example: python tools/analysis/get_flops.py configs/solo/solo_r101_fpn_3x_coco.py --shape 800 1216 '
        '--convention paper',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', help='config file, or mmagg::<path> or mmdet::<path>')
    add_shape(parser, (800, 1216), 'size of the padded image; a multiple of 32 is safe')
    parser.add_argument(
        '--ann',
        type=Path,
        metavar='FILE',
        help="average over this annotation file's images, resized by the config's test pipeline and padded alone",
    )
    parser.add_argument(
        '--coco', type=Path, metavar='DIR', help='the same over annotations/instances_val.json of this folder'
    )
    parser.add_argument(
        '--by-level', action='store_true', help="also the FLOPs of mmagg's heads by level, paper convention only"
    )
    parser.add_argument('--convention', choices=('paper', 'modern'), default='modern', help='what counts (%(default)s)')
    parser.add_argument(
        '--candidates',
        type=positive,
        metavar='N',
        help='masks that a head of mmagg decodes, modern convention only (300; boxes: max_per_img)',
    )
    add_json(parser, 'the numbers')
    add_cfg_options(parser, 'change the config, e.g. model.backbone.depth=18')
    return parser


def run(args: argparse.Namespace) -> None:
    """Count as the arguments of `parser` say."""
    from mmagg.costs.flops_report import count_flops, table

    print_report(args, count_flops, table)
