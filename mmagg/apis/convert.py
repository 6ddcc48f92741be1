"""Converting checkpoints, as ``tools/model_converters/*.py`` offer it."""

import argparse
from pathlib import Path

import torch
from mmdet.registry import MODELS

from mmagg.apis.checkpoint import TRUST_FLAG, load_weights, read_checkpoint, secure_loading
from mmagg.apis.config import load_config
from mmagg.apis.errors import InputError, add_traceback_flag
from mmagg.apis.files import written_whole
from mmagg.apis.key_maps import mmdet_to_mmagg

KEPT_META = ('dataset_meta', 'CLASSES', 'epoch', 'iter')


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/model_converters/mmdet_to_mmagg.py``."""
    parser = argparse.ArgumentParser(
        description="Turn a checkpoint of mmdet's SOLO, Decoupled SOLO (also Light) or SOLOv2 into one for CONFIG. "
        'All weights must fit, or nothing is written.',
        epilog='example: python tools/model_converters/mmdet_to_mmagg.py solo_r50_fpn_1x_coco.pth solo.pth '
        '--config configs/solo/solo_r50_fpn_1x_coco.py',
    )
    parser.add_argument('source', type=Path, metavar='SRC', help="mmdet's checkpoint")
    parser.add_argument('target', type=Path, metavar='DST', help='checkpoint to write')
    parser.add_argument('--config', required=True, help='our config of the model')
    parser.add_argument(
        TRUST_FLAG, action='store_true', help='read a checkpoint that holds code; only from sources you trust'
    )
    add_traceback_flag(parser)
    return parser


def convert(args: argparse.Namespace) -> None:
    """Convert as the arguments of `parser` say."""
    secure_loading(trust=args.trust_checkpoint)
    cfg = load_config(args.config)
    checkpoint = read_checkpoint(args.source)
    checkpoint['state_dict'] = mmdet_to_mmagg(checkpoint['state_dict'])
    model = MODELS.build(cfg.model)
    load_weights(model, checkpoint, args.source)
    if args.target.resolve() == args.source.resolve():
        raise InputError(f'{args.target}: SRC and DST are the same file')
    meta = {key: checkpoint['meta'][key] for key in KEPT_META if key in checkpoint['meta']}
    with written_whole(args.target) as temporary:
        torch.save({'state_dict': model.state_dict(), 'meta': meta}, temporary)
    print(f'{len(checkpoint["state_dict"])} tensors of {args.source} written to {args.target}')  # noqa: T201
