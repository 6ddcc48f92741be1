"""Training a model."""

import importlib
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from mmagg.apis.amp import enable_amp
from mmagg.apis.checkpoint import load_checkpoint, load_weights, secure_loading
from mmagg.apis.compilation import compile_parts
from mmagg.apis.config import load_config, name_of, name_visualizer, set_work_dir
from mmagg.apis.data import check_annotations, use_coco_folder
from mmagg.apis.finished import nothing_left
from mmagg.apis.launch import end_processes, is_main, start_processes
from mmagg.apis.origins import converter_hint
from mmagg.apis.pretrained import load_from
from mmagg.apis.watched_scores import check_watched_scores
from mmagg.engine import FiniteLossHook, ValidationLossHook
from mmagg.engine.learning_curves import LearningCurvesHook
from mmagg.engine.log_lines import LogLines
from mmagg.engine.progress import ProgressHook
from mmagg.engine.schedules import ScheduleHook
from mmagg.engine.watched_scores import WatchedScoresHook
from mmagg.io.errors import InputError


def train(
    config: str | Path | Config,
    *,
    coco: str | Path | None = None,
    work_dir: str | Path | None = None,
    resume: bool | str | Path = False,
    allow_partial: bool = False,
    amp: bool = False,
    val_loss: bool = False,
    tensorboard: bool = False,
    seed: int | None = None,
    skip_check: bool = False,
    cfg_options: dict | None = None,
    compile: bool = False,
    launcher: str = 'none',
    trust_checkpoint: bool = False,
) -> Path:
    """Train a model; checkpoints, logs, the config and learning curves (curves.png, curves.csv) go to the work dir.

    Args:
        config: a config file, ``mmdet::<path>`` for one of mmdet, or a loaded config, which stays as it is.
        coco: a folder in COCO format to train on instead of what the config names.
        work_dir: the folder for results; default: the config's, else ``work_dirs/<config name>``.
        resume: a checkpoint to go on from; True for the last one in the work dir, if there is one. The schedules are
            the config's, see `mmagg.engine.schedules`.
        allow_partial: start also from a checkpoint (the config's `load_from`) that has less than half of the model, or
            is of another project.
        amp: mixed precision, float16 on CUDA and bfloat16 on the CPU.
        val_loss: compute the validation images' losses as well, a second pass after each validation.
        tensorboard: log for TensorBoard as well.
        seed: the seed of all random numbers.
        skip_check: with ``coco``, do not check the data first.
        cfg_options: changes to the config, dotted keys.
        compile: compile the backbone, the neck and the towers, see `compile_parts`.
        launcher: the starter of several processes (pytorch, slurm or mpi), or none.
        trust_checkpoint: read checkpoints that hold code; see `secure_loading`, which decides for the whole process.

    Returns:
        the work dir.

    Raises:
        InputError: the config, the data, a checkpoint or an option cannot be used.
        FloatingPointError: a loss is not finite; the message names the images.
    """
    secure_loading(trust=trust_checkpoint)
    name, cfg = name_of(config), load_config(config, cfg_options)
    if coco:
        use_coco_folder(cfg, coco)
    for part in ('train_dataloader', 'train_cfg', 'optim_wrapper'):
        if not cfg.get(part):
            raise InputError(f'config {name}: no `{part}`, so it cannot be trained')
    if val_loss and not cfg.get('val_dataloader'):
        raise InputError(f'--val-loss: config {name} has no validation (val_dataloader, val_cfg, val_evaluator)')
    work_dir = set_work_dir(cfg, name, work_dir)
    if amp:
        enable_amp(cfg)
    if tensorboard:
        _use_tensorboard(cfg)
    if seed is not None:
        cfg.randomness = {**cfg.get('randomness', {}), 'seed': seed}
    if allow_partial and not cfg.get('load_from'):
        raise InputError('--allow-partial: the config has no load_from, so no checkpoint is loaded')
    check_watched_scores(cfg, name, val_loss=val_loss)
    checkpoint = _resume(cfg, resume, work_dir, launcher)
    if checkpoint is not None and nothing_left(cfg, checkpoint, resume, launcher):
        return work_dir
    fresh = checkpoint is None and cfg.get('load_from') and not cfg.get('resume')
    pretrained = load_from(cfg, name, allow_partial=allow_partial) if fresh else None
    if coco and not skip_check:
        check_annotations(cfg, launcher)
    name_visualizer(cfg)
    start_processes(cfg, launcher)
    runner = Runner.from_cfg(cfg)
    model = unwrapped(runner)
    if compile:
        compile_parts(model)
    if checkpoint is not None:  # mmengine resumes with whatever part of the weights happens to fit
        load_weights(model, checkpoint, cfg.load_from)
    if pretrained is not None:
        runner.register_hook(pretrained)
    curves = _watch(runner, val_loss=val_loss)
    try:
        runner.train()
    finally:
        curves.draw(runner)
    end_processes()
    return work_dir


def latest_checkpoint(work_dir: str | Path) -> Path | None:
    """The last checkpoint that a training completed in ``work_dir``, also if the folder has been moved since.

    Raises:
        InputError: the work dir names a checkpoint that is gone.
    """
    work_dir = Path(work_dir)
    note = work_dir / 'last_checkpoint'  # mmengine writes it after the checkpoint itself, so that one is whole
    if not note.is_file():
        return None
    named = Path(note.read_text().strip())
    found = next((path for path in (named, work_dir / named.name) if path.is_file()), None)
    if found is None:
        raise InputError(f'--resume: {note} names {named}, which is not there; pass --resume CKPT')
    return found


def unwrapped(runner: Runner) -> nn.Module:
    """The runner's model without the wrapper of distributed training."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def _use_tensorboard(cfg: Config) -> None:
    """Let the visualizer write TensorBoard's event files beside its own."""
    try:
        importlib.import_module('torch.utils.tensorboard')
    except ImportError as error:
        raise InputError(f'--tensorboard: {error}; pip install tensorboard') from error
    visualizer = cfg.setdefault('visualizer', dict(type='DetLocalVisualizer'))
    backends = visualizer.get('vis_backends') or [dict(type='LocalVisBackend')]
    visualizer.vis_backends = [*backends, dict(type='TensorboardVisBackend')]


def _watch(runner: Runner, *, val_loss: bool) -> LearningCurvesHook:
    """Add the hooks that every training has, unless the config has them; returns the one that draws the curves."""
    runner.logger.addFilter(LogLines())
    present = {type(hook) for hook in runner.hooks}
    # Not by the config: it is saved for testing, where mmagg may be unknown.
    for kind in (
        ProgressHook,
        FiniteLossHook,
        ScheduleHook,
        WatchedScoresHook,
        *([ValidationLossHook] if val_loss else []),
    ):
        if kind not in present:
            runner.register_hook(kind())
    curves = LearningCurvesHook()
    runner.register_hook(curves)
    return curves


def _resume(cfg: Config, resume: bool | str | Path, work_dir: Path, launcher: str) -> dict | None:
    """Set up the config to resume; returns the checkpoint to go on from, or None to start from the beginning."""
    if not resume:
        return None
    source = latest_checkpoint(work_dir) if resume is True else Path(resume)
    if source is None:
        if is_main(launcher):
            print_log(f'--resume: no checkpoint in {work_dir} yet, starting from the beginning')
        return None
    checkpoint = load_checkpoint(source)
    if 'optimizer' not in checkpoint or 'message_hub' not in checkpoint:
        hint = converter_hint(checkpoint['state_dict'], source, config=name_of(cfg))
        raise InputError(
            f'checkpoint {source}: holds weights only; to start from it use --cfg-options load_from={source}'
            + (f'; {hint}' if hint else '')
        )
    cfg.resume, cfg.load_from = True, str(source)
    return checkpoint
