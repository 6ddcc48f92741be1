"""Converting checkpoints of the AggMask release and of SOLO's authors, as ``aggmask_to_mmagg.py`` offers it."""

import argparse

from mmagg.cli.convert_mmdet import convert_with, converter_parser
from mmagg.convert.key_maps import released_to_mmagg


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/model_converters/aggmask_to_mmagg.py``."""
    return converter_parser(
        "a checkpoint of the AggMask release, or of the SOLO authors' SOLO, Decoupled SOLO (also Light) or SOLOv2",
        example='python tools/model_converters/aggmask_to_mmagg.py aggmask_r50_fpn.pth aggmask.pth '
        '--config configs/aggmask/aggmask-solo_r50_fpn_3x_coco.py '
        '--cfg-options model.mask_head.aggregator.parameters.kernel_size=1',
    )


def run(args: argparse.Namespace) -> int:
    """Convert a released checkpoint as the arguments of `parser` say."""
    return convert_with(released_to_mmagg, args)
