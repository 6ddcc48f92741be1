"""Training a model."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner

from mmagg.apis.amp import enable_amp
from mmagg.apis.checkpoint import checkpoint_classes, load_checkpoint, load_weights, named, secure_loading
from mmagg.apis.checkpoint_parts import check_resumable
from mmagg.apis.compilation import compile_parts
from mmagg.apis.config import base_files, load_config, name_of, name_run, set_work_dir
from mmagg.apis.config_options import options_kept
from mmagg.apis.data import check_data, data_files, use_coco_folder
from mmagg.apis.finished import nothing_left
from mmagg.apis.inference import draw_rle, return_rle
from mmagg.apis.launch import end_processes, is_main, start_processes
from mmagg.apis.load_from import LoadFromHook, load_from
from mmagg.apis.named_weights import start_from, weights_file, with_options
from mmagg.apis.plain_model import check_neck
from mmagg.apis.pretrained import leave_out_starts, prepare_model, starting_weights
from mmagg.apis.runner_settings import VALIDATION, check_settings
from mmagg.apis.schedule_lengths import warm_up_note
from mmagg.apis.single_pixels import check_single_pixels
from mmagg.apis.training_options import add, change, say
from mmagg.apis.watched_scores import check_watched_scores
from mmagg.apis.work_dir import keep_inputs, left_alone, starting_point, what_is_left
from mmagg.datasets.image_errors import name_images_in_errors
from mmagg.engine import FiniteLossHook, ValidationLossHook, ValidationSheetHook
from mmagg.engine.bare_model import bare_model
from mmagg.engine.detection_cap import DetectionCapHook, detection_cap
from mmagg.engine.first_step import FirstStepHook
from mmagg.engine.formatted_config import FormattedConfig
from mmagg.engine.learning_curves import LearningCurvesHook, draw_outdated
from mmagg.engine.log_lines import LogLines
from mmagg.engine.progress import ProgressHook
from mmagg.engine.random_numbers import RandomNumbersHook
from mmagg.engine.rest_of_epoch import RestOfEpochHook
from mmagg.engine.schedules import ScheduleHook
from mmagg.engine.training_runner import StartHook, TrainingRunner
from mmagg.engine.watched_scores import WatchedScoresHook
from mmagg.io.errors import InputError
from mmagg.io.folder_lock import locked
from mmagg.io.partial import remove_temporary
from mmagg.io.paths import keep_apart
from mmagg.io.run_folder import being_replaced
from mmagg.weights.origins import converter_hint


def train(
    config: str | Path | Config,
    *,
    coco: str | Path | None = None,
    work_dir: str | Path | None = None,
    resume: bool | str | Path = False,
    overwrite: bool = False,
    weights: str | Path | None = None,
    allow_partial: bool = False,
    amp: bool = False,
    val_loss: bool = False,
    val_images: int = 6,
    tensorboard: bool = False,
    logger: Sequence[str] = (),
    seed: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    accumulate: int | None = None,
    short_side: int | None = None,
    freeze: int | None = None,
    ema: bool = False,
    patience: int | None = None,
    save_best: bool = True,
    class_balanced: bool = False,
    max_detections: int | None = None,
    workers: int | None = None,
    skip_check: bool = False,
    cfg_options: dict | None = None,
    compile: bool = False,
    launcher: str = 'none',
    trust_checkpoint: bool = False,
) -> Path:
    """Train a model; checkpoints, logs, the config and learning curves (curves.png, curves.csv) go to the work dir.

    Checkpoints are whole or absent, and one goes when the next is there. Until the training begins, after all checks,
    the work dir stays as it was. One training at a time uses it. What `epochs` to `workers` change in the config is in
    the saved one, and `cfg_options` win over them; see `mmagg.apis.training_options`.

    Args:
        config: a config file, ``mmagg::<path>`` or ``mmdet::<path>``, or a loaded config, which stays as it is.
        coco: a folder in COCO format to train on instead of what the config names.
        work_dir: the folder for results; default: the config's, else ``work_dirs/<config name>``.
        resume: a checkpoint to go on from; True for the last whole one in the work dir, if there is one. The schedules
            are the config's, see `mmagg.engine.schedules`. What comes is bit by bit what would have come, also within
            an epoch, and with augmentation by the random numbers of Python, NumPy and PyTorch. Not so with another
            seed or number of processes, with gradients that were being accumulated, as they are at the end of an epoch
            whose iterations `accumulate` does not divide, with what transforms keep of past images (`CachedMosaic`),
            and where the schedule depends on validations. `patience` counts those in the records beside a checkpoint.
        overwrite: replace the run that the work dir holds, which is refused otherwise, unless it is resumed.
        weights: start from these: a name that ``mmagg weights`` lists, a file or a URL; others' are converted. A
            backbone's name (``torchvision://…``) is for the backbone.
        allow_partial: start also from a checkpoint (`weights`, or the config's `load_from`) that has less than half of
            the model, or is of another project.
        amp: mixed precision, float16 on CUDA and bfloat16 on the CPU.
        val_loss: compute the validation images' losses as well, a second pass after each validation.
        val_images: on the sheet of truth beside prediction after each validation; 0 for none.
        tensorboard: log for TensorBoard as well; the same as the logger of that name.
        logger: log to these as well: tensorboard, wandb, mlflow, clearml, neptune, dvclive or aim.
        seed: the seed of all random numbers; a resumed training goes on with the checkpoint's unless one is given.
        epochs: their number; schedules, validations and checkpoints move in proportion.
        batch_size: images of a step in one process; the learning rate goes with them.
        accumulate: steps whose gradients are added up before the weights change; so does it with them.
        short_side: pixels of the images in tests; the sizes of training move in proportion.
        freeze: stages of the backbone that do not learn, and its batch norms' statistics.
        ema: average the weights over the training; the averages are what is validated, saved and tested.
        patience: end when the watched score has not risen in this many validations, from the first one above 0 on.
        save_best: keep the checkpoint with the best mask AP as well, unless the config names another score.
        class_balanced: repeat images with rare classes.
        max_detections: objects that the model may find in an image.
        workers: processes that load images.
        skip_check: do not look at each image and annotation first.
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
    if weights is not None:
        cfg_options = with_options(weights, config, cfg_options)
    flags = dict(
        epochs=epochs,
        batch_size=batch_size,
        accumulate=accumulate,
        short_side=short_side,
        freeze=freeze,
        ema=ema,
        patience=patience,
        save_best=save_best,
        class_balanced=class_balanced,
        max_detections=max_detections,
        workers=workers,
        seed=seed,
        logger=[*logger, *(['tensorboard'] if tensorboard and 'tensorboard' not in logger else [])],
    )
    notes: list[str] = []
    by_flags = partial(change, flags=flags, options=cfg_options, launcher=launcher, notes=notes)
    changes = [partial(use_coco_folder, folder=coco), by_flags]
    name, cfg = name_of(config), load_config(config, cfg_options, changes=changes)
    if weights is not None:
        start_from(cfg, weights, cfg_options)
    main, options = is_main(launcher), {*(cfg_options or ())}
    add(cfg, flags=flags)
    if main:
        say(notes)
    check_settings(cfg, name, ('train', 'val'), main=main)
    if val_loss and not cfg.get('val_dataloader'):
        raise InputError(f'--val-loss: config {name} has no validation ({", ".join(VALIDATION)})')
    kept = options - {'resume'}  # which says the same as the argument
    with options_kept(cfg, kept):
        cfg.launcher = launcher
        work_dir = set_work_dir(cfg, name, work_dir)
        if amp:
            enable_amp(cfg)
        if seed is not None:
            cfg.randomness = {**(cfg.get('randomness') or {}), 'seed': seed}
    with locked(work_dir, '--work-dir') if main else nullcontext(), what_is_left(work_dir):
        with options_kept(cfg, kept):
            checkpoint = _resume(cfg, resume, work_dir, overwrite=overwrite, main=main)
            if checkpoint is not None and seed is None and 'randomness.seed' not in options:
                _use_seed_of(cfg, checkpoint)
        if main:
            read = starting_weights(cfg) if overwrite or being_replaced(work_dir) else []
            keep_inputs(work_dir, cfg.filename or '', data=data_files(cfg, coco), weights=read)
            keep_apart({'the config of --work-dir': work_dir / Path(cfg.filename or '').name}, base_files(cfg))
        fresh = checkpoint is None and cfg.get('load_from')
        if allow_partial and not fresh:
            raise InputError('--allow-partial: the training starts from no other checkpoint (load_from)')
        check_watched_scores(cfg, name, val_loss=val_loss)
        if checkpoint is not None and weights is not None and main:
            say([f'--weights {weights}: left out, as the training goes on from {cfg.load_from}'])
        if checkpoint is not None and nothing_left(cfg, checkpoint, resume, launcher):
            if main:
                draw_outdated(work_dir)
                remove_temporary(work_dir)
            return work_dir
        check_data(cfg, ('train', 'val'), purpose='train', launcher=launcher, skip_check=skip_check)
        if main:
            check_neck(cfg, name)
        if fresh and weights is not None:
            cfg.load_from = str(weights_file(weights, cfg, trust=trust_checkpoint, main=main))
        pretrained = load_from(cfg, name, allow_partial=allow_partial) if fresh else None
        brought = _brought(pretrained, checkpoint)
        prepare_model(cfg, launcher, brought=brought)
        start_processes(cfg, launcher)
        start = StartHook(overwrite=overwrite)
        with left_alone(work_dir, started=lambda: start.started, main=main):
            runner = _runner(cfg, checkpoint, as_rle='model.test_cfg.mask_format' not in options, compile=compile)
            leave_out_starts(bare_model(runner), brought)
            for hook in filter(None, (start, pretrained)):
                runner.register_hook(hook)
            _watch(runner, val_loss=val_loss, val_images=val_images)
            check_single_pixels(cfg, images=len(runner.train_loop.dataloader.sampler))
            if main and (note := warm_up_note(cfg, runner.max_iters)):
                say([note])
            _run(runner, start)
        end_processes()
        return work_dir


def _brought(pretrained: LoadFromHook | None, resumed: dict | None) -> Callable[[str], bool]:
    """Whether a part of the model gets all its weights from the checkpoint that a training starts from, or resumes."""
    if pretrained is not None:
        return pretrained.brings
    return lambda part: resumed is not None  # which is refused unless all of it fits


def _runner(cfg: Config, checkpoint: dict | None, *, as_rle: bool, compile: bool) -> TrainingRunner:
    """The runner of a config, its model with the weights of the checkpoint that the training goes on from.

    Args:
        cfg: the whole config.
        checkpoint: as of `_resume`.
        as_rle: let the model return RLE masks in validations, if it can.
        compile: compile the model's parts.

    Raises:
        InputError: the checkpoint does not fit the model or the data.
    """
    name_run(cfg)
    if 'mask_format' in (cfg.model.get('test_cfg') or {}):
        draw_rle(cfg)
    runner = TrainingRunner.from_cfg(FormattedConfig.of(cfg))
    model = bare_model(runner)
    if as_rle:
        return_rle(model)
    if compile:
        compile_parts(model)
    if checkpoint is not None:  # mmengine resumes with whatever part of the weights happens to fit
        load_weights(model, checkpoint, cfg.load_from)
        _compare_classes(runner, checkpoint_classes(checkpoint), cfg.load_from)
    return runner


def _compare_classes(runner: Runner, trained: tuple[str, ...] | None, source: str) -> None:
    """Refuse to go on with the same classes in another order: labels would be swapped."""
    classes = tuple(runner.train_dataloader.dataset.metainfo.get('classes', ()))
    if trained is not None and trained != classes and sorted(trained) == sorted(classes):
        raise InputError(
            f'checkpoint {source}: was trained for the classes in another order than the data, {trained} and not '
            f'{classes}: labels would be swapped'
        )


def _watch(runner: Runner, *, val_loss: bool, val_images: int) -> None:
    """Add what every training has, unless the config has it: hooks, and the filter of its log."""
    runner.logger.addFilter(LogLines())
    for loop in (runner.train_loop, runner.val_loop):
        if loop is not None:
            name_images_in_errors(loop.dataloader.dataset)
    present = {type(hook) for hook in runner.hooks}
    # Not by the config: it is saved for testing, where mmagg may be unknown.
    for kind in (
        ProgressHook,
        RandomNumbersHook,
        RestOfEpochHook,
        FiniteLossHook,
        ScheduleHook,
        WatchedScoresHook,
        *([ValidationLossHook] if val_loss else []),
    ):
        if kind not in present:
            runner.register_hook(kind())
    if val_images and ValidationSheetHook not in present:
        runner.register_hook(ValidationSheetHook(images=val_images))
    if cap := detection_cap(runner.cfg):
        runner.register_hook(DetectionCapHook(cap))


def _run(runner: Runner, start: StartHook) -> None:
    """Train; what there is to write is written however it ends."""
    curves, first = LearningCurvesHook(), FirstStepHook()
    runner.register_hook(curves)
    runner.register_hook(first)
    try:
        with first.watched(resumed=runner._load_from if runner._resume else None):
            runner.train()
    except BaseException:
        with suppress(Exception):
            runner.visualizer.close()  # writes what it has, which mmengine lets it do at the end only
        raise
    finally:
        if start.started:
            curves.draw(runner)


def _resume(cfg: Config, resume: bool | str | Path, work_dir: Path, *, overwrite: bool, main: bool) -> dict | None:
    """Set up the config to resume; returns the checkpoint to go on from, or None to start from the beginning."""
    if cfg.get('resume') and overwrite:  # in the config that a resumed run has left
        cfg.resume, cfg.load_from = False, None
    elif cfg.get('resume') and not resume:
        resume = cfg.get('load_from') or True
    out_dir = (cfg.get('default_hooks', {}).get('checkpoint') or {}).get('out_dir')
    source = starting_point(work_dir, resume=resume, overwrite=overwrite, main=main, out_dir=out_dir)
    if source is None:
        if cfg.get('resume'):  # as above: its checkpoint is that of another work dir's run
            cfg.load_from = None
        cfg.resume = False
        return None
    checkpoint = load_checkpoint(source)
    if 'optimizer' not in checkpoint or 'message_hub' not in checkpoint:
        hint = converter_hint(checkpoint['state_dict'], source, config=name_of(cfg))
        raise InputError(
            f'checkpoint {source}: holds weights only; to start from it use --cfg-options load_from={source}'
            + (f'; {hint}' if hint else '')
        )
    with named(source):
        check_resumable(checkpoint)
    cfg.resume, cfg.load_from = True, str(source)
    return checkpoint


def _use_seed_of(cfg: Config, checkpoint: dict) -> None:
    """Go on with a checkpoint's seed: mmengine would take it over after it has built the sampler."""
    seed = checkpoint['meta'].get('seed')
    if seed is None:
        return
    if seed >= 2**32:  # NumPy's limit; `check_resumable` has seen the rest
        raise InputError(f'checkpoint {cfg.load_from}: its seed is {seed}; another one is set with --seed')
    cfg.randomness = {**(cfg.get('randomness') or {}), 'seed': seed}
