"""Which arguments go with the file of an exported model, and what to do instead of those that do not."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmagg.io.errors import InputError

SUFFIX = '.onnx'
# What only a config with its checkpoint can do, and what to do instead.
REFUSED = {
    'checkpoint': 'has its weights in it: leave out the checkpoint {value}',
    'weights': 'has its weights in it: leave out --weights {value}',
    'device': 'runs on the CPU: leave out --device {value}, or give its config and checkpoint instead',
    'half': 'computes as it was exported: leave out --half, or export it in half precision',
    'compile': 'is compiled by its runtime: leave out --compile',
    'cfg_options': 'has its settings in it: give --cfg-options {value} to `mmagg export` instead',
    'trust_checkpoint': 'holds no code: leave out --trust-checkpoint',
    'tta': 'sees one view of an image: leave out --tta, or give its config and checkpoint instead',
    'launcher': 'runs in one process: leave out --launcher {value}',
    'report': 'has no report: --out FILE.json writes what `mmagg analyse-errors` and its like read',
}


def is_exported(model: object) -> bool:
    """Whether a config, as a user names it, is the file of an exported model."""
    return isinstance(model, str | Path) and Path(model).suffix.lower() == SUFFIX


def refuse_torch_options(model: str | Path, options: Mapping[str, Any]) -> None:
    """Refuse what an exported model cannot do.

    Args:
        model: its file.
        options: values by their names in `REFUSED`; those that ask for nothing pass.

    Raises:
        InputError: one asks for something; says what to do instead.
    """
    for name, value in options.items():
        if value and (name, value) not in (('device', 'cpu'), ('launcher', 'none')):
            text = ' '.join(f'{key}={one}' for key, one in value.items()) if isinstance(value, dict) else value
            raise InputError(f'{model}: an exported model {REFUSED[name].format(value=text)}')


def refuse_exported_options(checkpoint: object, weights: object, runtime: str | None) -> None:
    """Refuse what goes with an exported model alone, where a config is named.

    Raises:
        InputError: says what to do instead.
    """
    for model in filter(is_exported, (checkpoint, weights)):
        raise InputError(f'{model}: an exported model has its config in it; name it instead of the config, alone')
    if runtime is not None:
        raise InputError(f'runtime {runtime}: is for an exported model (.onnx); leave it out')
