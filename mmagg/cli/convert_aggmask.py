"""Turn a checkpoint of the AggMask release, or of SOLO's authors, into ours."""

import argparse

from mmagg.cli.convert_mmdet import converter_parser, say


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/model_converters/aggmask_to_mmagg.py``."""
    return converter_parser(
        "a checkpoint of the AggMask release, or of the SOLO authors' SOLO, Decoupled SOLO (also Light) or SOLOv2",
        example='python tools/model_converters/aggmask_to_mmagg.py aggmask_r50_fpn.pth aggmask.pth '
        '--config configs/aggmask/aggmask-solo_r50_fpn_3x_coco.py '
        '--cfg-options model.mask_head.aggregator.parameters.kernel_size=1',
    )


def run(args: argparse.Namespace) -> None:
    """Convert a released checkpoint as the arguments of `parser` say."""
    from mmagg.convert.grid_masks import convert_grid_masks

    say(convert_grid_masks(origin='authors', **vars(args)), args)
