"""Arguments that several tools have.

What needs MMDetection is imported late: operators are measured where it is not installed.
"""

import argparse
from pathlib import Path

import torch


def positive(text: str) -> int:
    """An argument type: an integer of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f'{value} is not positive')
    return value


def add_cfg_options(parser: argparse.ArgumentParser, text: str) -> None:
    """``--cfg-options``; ``text`` is its help."""
    from mmagg.apis.config import OptionsAction

    parser.add_argument('--cfg-options', nargs='+', action=OptionsAction, metavar='KEY=VALUE', help=text)


def add_coco(parser: argparse.ArgumentParser, purpose: str) -> None:
    """``--coco``, a folder to ``purpose`` on."""
    parser.add_argument(
        '--coco',
        type=Path,
        metavar='DIR',
        help=f'{purpose} on this COCO-format folder: annotations/instances_{{train,val}}.json, images/{{train,val}}/',
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """``--device``, by default the GPU where there is one."""
    parser.add_argument(
        '--device', default='cuda:0' if torch.cuda.is_available() else 'cpu', help='default here: %(default)s'
    )


def add_trust_flag(parser: argparse.ArgumentParser, purpose: str = 'read checkpoints that hold code') -> None:
    """``--trust-checkpoint``."""
    from mmagg.apis.checkpoint import TRUST_FLAG

    parser.add_argument(TRUST_FLAG, action='store_true', help=f'{purpose}; only from sources you trust')
