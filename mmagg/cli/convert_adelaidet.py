"""Turn a checkpoint of AdelaiDet's BlendMask or MEInst into ours."""

import argparse
from pathlib import Path

from mmagg.cli.convert_mmdet import converter_parser, say


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/model_converters/adelaidet_to_mmagg.py``."""
    parser = converter_parser(
        "a checkpoint of AdelaiDet's BlendMask or MEInst, .pth or .pkl",
        example='python tools/model_converters/adelaidet_to_mmagg.py R_50_1x.pth blendmask.pth '
        '--config configs/blendmask/blendmask_r50_fpn_1x_coco.py',
        option='model.mask_head.masks.attention_size=7',
    )
    parser.add_argument(
        '--dictionary', type=Path, metavar='FILE.npz', help="MEInst's dictionary of masks, where SRC is without it"
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Convert AdelaiDet's checkpoint as the arguments of `parser` say."""
    from mmagg.convert.adelaidet import convert_adelaidet

    say(convert_adelaidet(**vars(args)), args)
