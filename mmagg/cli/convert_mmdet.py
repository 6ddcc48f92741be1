"""Turn a checkpoint of mmdet's SOLO family into ours."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mmagg.cli.arguments import add_cfg_options, add_trust_flag

if TYPE_CHECKING:
    from mmagg.convert.conversion import Converted


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/model_converters/mmdet_to_mmagg.py``."""
    return converter_parser(
        "a checkpoint of mmdet's SOLO, Decoupled SOLO (also Light) or SOLOv2",
        example='python tools/model_converters/mmdet_to_mmagg.py solo_r50_fpn_1x_coco.pth solo.pth '
        '--config configs/solo/solo_r50_fpn_1x_coco.py',
    )


def run(args: argparse.Namespace) -> None:
    """Convert mmdet's checkpoint as the arguments of `parser` say."""
    from mmagg.convert.grid_masks import convert_grid_masks

    say(convert_grid_masks(origin='mmdet', **vars(args)), args)


def converter_parser(
    what: str, *, example: str, option: str = 'model.mask_head.num_classes=20'
) -> argparse.ArgumentParser:
    """The arguments of a converter that reads ``what``, with an example call and an example of ``--cfg-options``."""
    parser = argparse.ArgumentParser(
        description=f'Turn {what} into one for CONFIG. All weights must fit, or nothing is written; where CONFIG is '
        'another model than the weights show, a line for each difference names the option that it takes.',
        epilog=f'example: {example}',
    )
    parser.add_argument('source', type=Path, metavar='SRC', help=what)
    parser.add_argument('target', type=Path, metavar='DST', help='checkpoint to write')
    parser.add_argument('--config', required=True, help='our config of the model')
    add_cfg_options(parser, f'change the config, e.g. {option}; whoever uses DST needs the same')
    add_trust_flag(parser, 'read a checkpoint that holds code')
    return parser


def say(done: 'Converted', args: argparse.Namespace) -> None:
    """Print the result of a conversion."""
    print(f'{done.tensors} tensors of {args.source} written to {args.target}')
    for note in done.notes:
        print(note)
