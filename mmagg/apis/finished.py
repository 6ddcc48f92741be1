"""Trainings that have nothing left to do."""

from pathlib import Path

from mmengine.config import Config
from mmengine.logging import print_log

from mmagg.apis.checkpoint import require_fit
from mmagg.apis.launch import is_main
from mmagg.apis.plain_model import model_without_numbers
from mmagg.io.errors import InputError

UNITS = {'max_epochs': ('epoch', 'epochs'), 'max_iters': ('iter', 'iterations')}


def nothing_left(cfg: Config, checkpoint: dict, resume: bool | str | Path, launcher: str) -> bool:
    """True, after a line on how to go on, if the work dir's checkpoint is the end of the training that is asked for.

    That is no error: a job that is started again and again with ``--resume`` has done its work.

    Args:
        cfg: the whole config, which names the checkpoint in `load_from`.
        checkpoint: its content.
        resume: the checkpoint that the user named, who asks for more than it has; True or False if none was.
        launcher: the starter of several processes, of which one prints.

    Raises:
        InputError: the checkpoint does not fit the config's model, or it was named and is the end already.
    """
    require_fit(model_without_numbers(cfg), checkpoint, cfg.load_from)
    done = _done(cfg, checkpoint)
    if done and not isinstance(resume, bool):
        raise InputError(f'--resume {resume}: {done}')
    if done and is_main(launcher):
        config = Path(cfg.work_dir) / Path(cfg.filename or '').name  # as it was trained
        test = f'mmagg test {config} {cfg.load_from}'
        print_log(f'--resume: {cfg.load_from}: {done}; should its last validation be missing: `{test}`')
    return bool(done)


def _done(cfg: Config, checkpoint: dict) -> str | None:
    for key, (count, unit) in UNITS.items():
        done, wanted = checkpoint['meta'].get(count), cfg.train_cfg.get(key)
        if wanted is not None and done is not None and done >= wanted:
            go_on = f'--cfg-options train_cfg.{key}=…, and the `end` of the schedules in param_scheduler'
            if key == 'max_epochs':
                go_on = f'--epochs N, above {wanted}, which moves the schedules'
            return f'already trained {done} of {wanted} {unit}, there is nothing to do; to go on: {go_on}'
    return None
