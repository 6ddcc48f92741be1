"""Converting checkpoints of other projects, as ``tools/model_converters/*.py`` offer it; this one reads mmdet's."""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from torch import Tensor, nn

from mmagg.apis.checkpoint import load_weights, read_checkpoint, secure_loading
from mmagg.apis.config import load_config
from mmagg.cli.arguments import add_cfg_options, add_trust_flag
from mmagg.convert.disagreements import as_arguments, disagreements, unseen
from mmagg.convert.key_maps import mmdet_to_mmagg
from mmagg.io.errors import InputError

EXIT_BAD_INPUT = 2
from mmagg.io.files import written_whole
from mmagg.models.heads import GridMaskHead

KEPT_META = ('dataset_meta', 'CLASSES', 'epoch', 'iter')


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/model_converters/mmdet_to_mmagg.py``."""
    return converter_parser(
        "a checkpoint of mmdet's SOLO, Decoupled SOLO (also Light) or SOLOv2",
        example='python tools/model_converters/mmdet_to_mmagg.py solo_r50_fpn_1x_coco.pth solo.pth '
        '--config configs/solo/solo_r50_fpn_1x_coco.py',
    )


def run(args: argparse.Namespace) -> int:
    """Convert mmdet's checkpoint as the arguments of `parser` say."""
    return convert_with(mmdet_to_mmagg, args)


def converter_parser(
    what: str, *, example: str, option: str = 'model.mask_head.num_classes=20'
) -> argparse.ArgumentParser:
    """The arguments of a converter.

    Args:
        what: it reads.
        example: a command line.
        option: an example of what to change in a config.
    """
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


def convert_with(to_mmagg: Callable[[Mapping[str, Tensor]], dict[str, Tensor]], args: argparse.Namespace) -> int:
    """Convert a checkpoint for a `GridMaskHead` as the arguments of `converter_parser` say.

    Args:
        to_mmagg: renames a state dict's keys into ours.
        args: the arguments.

    Returns:
        the exit code.

    Raises:
        InputError: a file, the config or a weight cannot be used.
    """
    cfg = prepare(args)
    checkpoint = read_checkpoint(args.source)
    state = checkpoint['state_dict'] = to_mmagg(checkpoint['state_dict'])
    require_head(state, 'mask_head.class_tower.', args)
    model = MODELS.build(cfg.model)
    if not isinstance(getattr(model, 'mask_head', None), GridMaskHead):
        raise InputError(f'config {args.config}: its mask head is not the GridMaskHead that these weights are for')
    notes = note_unseen(unseen(model.mask_head), below='model.mask_head')
    return finish(model, checkpoint, args, problems=disagreements(state, model), notes=notes)


def prepare(args: argparse.Namespace) -> Config:
    """Decide how checkpoints are read and load the config.

    Raises:
        InputError: SRC and DST are the same file, or the config cannot be used.
    """
    secure_loading(trust=args.trust_checkpoint)
    if args.target.resolve() == args.source.resolve():
        raise InputError(f'{args.target}: SRC and DST are the same file')
    return load_config(args.config, args.cfg_options)


def require_head(state: Mapping[str, Tensor], prefix: str, args: argparse.Namespace) -> None:
    """Make sure that the renaming has recognised a checkpoint.

    Raises:
        InputError: no key under our names starts with `prefix`.
    """
    if not any(key.startswith(prefix) for key in state):
        first = next(iter(state), 'it has no weights')
        raise InputError(
            f'checkpoint {args.source}: no head under the names that this converter knows ({first}, …); '
            'see --help for what it reads'
        )


def finish(
    model: nn.Module, checkpoint: dict, args: argparse.Namespace, *, problems: list[str], notes: list[str]
) -> int:
    """Write a converted checkpoint and say what was written, or say the problems.

    Args:
        model: of the config.
        checkpoint: with `state_dict`, under our names, and `meta`.
        args: of `converter_parser`.
        problems: what keeps the weights from fitting, a line each.
        notes: what to say when all is well, a line each.

    Returns:
        the exit code.

    Raises:
        InputError: the weights do not fit.
    """
    for problem in problems:
        print(f'error: {problem}', file=sys.stderr)
    if problems:
        return EXIT_BAD_INPUT
    load_weights(model, checkpoint, args.source)
    meta = {key: checkpoint['meta'][key] for key in KEPT_META if key in checkpoint['meta']}
    with written_whole(args.target) as temporary:
        torch.save({'state_dict': model.state_dict(), 'meta': meta}, temporary)
    print(f'{len(checkpoint["state_dict"])} tensors of {args.source} written to {args.target}')
    for note in notes:
        print(note)
    if args.cfg_options:
        print(f'test.py and demo.py need the same --cfg-options {as_arguments(args.cfg_options)}')
    return 0


def note_unseen(settings: Mapping[str, Any], *, below: str) -> list[str]:
    """A line with the settings that no weight can vouch for, keys below `below`; none without settings."""
    if not settings:
        return []
    return [f'no weight shows these, they are as the config says (below {below}): {as_arguments(settings)}']
