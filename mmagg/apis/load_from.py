"""Training that starts from the weights of another checkpoint (``load_from``).

mmengine takes whatever happens to fit, and prints the names of all other keys. Here one line says how much of the model
that is; a checkpoint with less than half of it, or one that is to be converted first, is refused before anything is
written.
"""

from collections.abc import Collection, Mapping

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from mmagg.apis.checkpoint import checkpoint_classes, listed, load_checkpoint, misfits, same_kind
from mmagg.apis.other_classes import Rows, other_classes
from mmagg.apis.plain_model import model_without_numbers
from mmagg.engine.bare_model import bare_model
from mmagg.io.errors import InputError
from mmagg.weights.origins import converter_hint

LEAST = 0.5  # of the numbers in a model's parameters


class LoadFromHook(Hook):
    """Lets mmengine load the weights that fit, and no others, in silence.

    Args:
        taken: these weights, by key.
        rows: those of which a class is taken by its name, by key.
        line: says how many they are.
        keys: all of the model's weights.
    """

    priority = 'VERY_HIGH'  # EMAHook reads the same checkpoint

    def __init__(self, taken: dict[str, Tensor], rows: Mapping[str, Rows], line: str, *, keys: Collection[str]) -> None:
        self.taken, self.rows, self.line = taken, rows, line
        # Some checkpoints have no counts of batches, which change nothing.
        self.whole = {key: key in taken or key.endswith('num_batches_tracked') for key in keys}

    def brings(self, part: str) -> bool:
        """Whether all weights of a part of the model, as `backbone`, are taken; '' is the whole model."""
        found = [whole for key, whole in self.whole.items() if not part or key.startswith(f'{part}.')]
        return bool(found) and all(found)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Put the model's own weights in the place of those that do not fit."""
        if not runner._resume:
            own = bare_model(runner).state_dict()
            rows = {key: take(own[key]) for key, take in self.rows.items()}
            checkpoint['state_dict'] = {**own, **self.taken, **rows}
            self.taken, self.rows = {}, {}
            runner.logger.info(self.line)


def load_from(cfg: Config, name: str, *, allow_partial: bool) -> LoadFromHook:
    """Read the checkpoint that ``cfg.load_from`` names, and see what a model of ``cfg`` takes of it.

    Of what has a row for each class, the rows of classes are taken that have a name of the training data. Where the
    checkpoint has no names, all is taken if their number is the same, else nothing.

    Args:
        cfg: the whole config.
        name: its file.
        allow_partial: take also less than half of the model's numbers, or what fits of a checkpoint to be converted.

    Raises:
        InputError: the checkpoint cannot be read, or fits too little; or it is mmdet's, AdelaiDet's or the AggMask
            release's, then the line names the command that converts it.
    """
    source = cfg.load_from
    checkpoint = load_checkpoint(source)
    state = checkpoint['state_dict']
    model = model_without_numbers(cfg)
    own, sizes = model.state_dict(), {key: value.numel() for key, value in model.named_parameters()}
    other = other_classes(cfg, own, state, checkpoint_classes(checkpoint))
    taken = {
        key: value
        for key, value in state.items()
        if key in own and own[key].shape == value.shape and same_kind(value, own[key]) and key not in other.keys
    }
    number = sum(key in taken for key in sizes)
    share = sum(size for key, size in sizes.items() if key in taken) / max(sum(sizes.values()), 1)
    if number == len(sizes):
        amount = f'all {number} parameters'
    else:
        amount = f"{number} of {len(sizes)} parameters ({int(100 * share)} % of the model's numbers)"
    problems = {
        'not in it' if kind == 'missing' else kind: [text for key, text in found.items() if key not in other.keys]
        for kind, found in misfits(model, state).items()
    }
    rest = '; '.join(filter(None, [other.line, listed(problems)]))
    hint = converter_hint(state, source, ours=own, config=name) or _backbone_hint(state, own, source)
    if number == 0 or ((share < LEAST or hint) and not allow_partial):
        few = '' if share >= LEAST else ', less than half'
        way = '' if number == 0 else '--allow-partial takes what fits'
        raise InputError(f'load_from {source}: only {amount} fit{few}; {"; ".join(filter(None, [hint, way, rest]))}')
    line = '; '.join(filter(None, [f'load_from {source}: {amount} taken', hint, rest]))
    return LoadFromHook(taken, other.rows, line, keys=own)


def _backbone_hint(state: dict[str, Tensor], own: dict[str, Tensor], source: str) -> str:
    """What to do with the weights of a backbone alone, as ImageNet's are."""
    fitting = sum(f'backbone.{key}' in own and own[f'backbone.{key}'].shape == state[key].shape for key in state)
    if fitting < len(state) / 2:
        return ''
    return (
        "they are a backbone's alone, which the config names as "
        f"model.backbone.init_cfg=dict(type='Pretrained', checkpoint={source!r})"
    )
