"""A demo on generated scenes: shapes, training, evaluation, pictures, curves and a report, in one process."""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmagg.apis.config import base_files, config_file, shipped_config
from mmagg.apis.inference import load_model
from mmagg.demo.journal import COMPARED, Journal
from mmagg.demo.report import report
from mmagg.demo.shapes import check_numbers, write_shapes
from mmagg.demo.steps import Trial, draw_overlays, draw_representations
from mmagg.engine.learning_curves import write_curves
from mmagg.io.errors import InputError
from mmagg.io.files import written_whole
from mmagg.io.paths import keep_apart

CONFIG = 'demo/aggmask_tiny_shapes.py'


@dataclass(frozen=True)
class Demo:
    """A finished demo.

    Attributes:
        report: the report's file.
        metrics: mmdet's COCO metrics of the model, fractions; empty where it found nothing.
        compared: metrics of the other model; None without one.
        done_already: True if it had been finished before.
    """

    report: Path
    metrics: dict[str, float]
    compared: dict[str, float] | None
    done_already: bool


def make_demo(
    out: str | Path,
    *,
    config: str | Path | None = None,
    compare: str | Path | None = None,
    images: int = 1000,
    val_images: int = 100,
    size: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
    cfg_options: dict | None = None,
) -> Demo:
    """Make scenes, train a model on them, evaluate it on others, draw overlays and curves, and write ``out``/report.md.

    The same call again goes on with an interrupted demo. Other arguments, or a changed config, replace the demo in
    ``out``; shapes and trained models that they do not change are kept.

    Args:
        out: the demo's folder.
        config: the config to train, a file or ``mmagg::<path>``, default: a tiny AggMask.
        compare: a config to train on the same scenes and compare with.
        images: scenes to train on.
        val_images: held-out scenes.
        size: image side in pixels, default: as the config resizes.
        seed: of the scenes and the training.
        overwrite: train again, also if ``out`` holds a finished or interrupted demo.
        cfg_options: changes to the configs, dotted keys.

    Raises:
        InputError: a config or an argument cannot be used, or ``out`` holds something else.
    """
    out, config = Path(out), shipped_config(CONFIG) if config is None else config_file(config)
    compare = config_file(compare) if compare else None
    read = [path for own in filter(None, (config, compare)) for path in (own, *base_files(own))]
    keep_apart({'--out': out}, read)
    ours = Trial(config, cfg_options or {}, out / 'shapes', out, seed)
    trials = {'': ours}
    if compare:
        trials[COMPARED] = replace(ours, config=compare, folder=out / 'compare')
    size = image_size(ours.cfg) if size is None else size
    data: dict[str, Any] = {'images': images, 'val_images': val_images, 'size': size, 'seed': seed}
    check_numbers(**data)
    fingerprint = _fingerprint(trials[COMPARED].cfg) if compare else None
    arguments = {**data, 'config': _fingerprint(ours.cfg), 'compare': fingerprint}
    journal = Journal.open(out, arguments, overwrite=overwrite)
    done_already = set(journal.steps) <= set(journal.done) and (out / 'report.md').is_file()
    if not done_already:
        _carry_out(journal, trials, out, data)
    compared = trials[COMPARED].metrics if compare else None
    return Demo(out / 'report.md', ours.metrics, compared, done_already)


def _carry_out(journal: Journal, trials: dict[str, Trial], out: Path, data: dict[str, Any]) -> None:
    """Do all steps that are not done, and write the report."""
    ours = trials['']
    if 'shapes' not in journal.done:
        scenes = '{images} + {val_images} scenes of {size} × {size} pixels'.format(**data)
        with journal.step('shapes', scenes):
            write_shapes(ours.shapes, **data, overwrite=True)
    for which, trial in trials.items():
        resume = trial.started
        if not (resume and f'train{which}' in journal.done):
            journal.resumed |= resume
            start = 'going on from the last checkpoint' if resume else 'from scratch'
            description = f'{trial.config.stem}, {start} (if interrupted, the same command goes on)'
            with journal.step(f'train{which}', description):
                trial.train(resume=resume)
    for which, trial in trials.items():
        with journal.step(f'evaluate{which}', f'{trial.config.stem}, {trial.checkpoint.name} on the held-out scenes'):
            trial.evaluate()
    with journal.step('overlays', 'ground truth beside prediction'):
        model = load_model(ours.trained_config, ours.checkpoint)
        draw_overlays(model, out)
    with journal.step('curves', 'losses and validation AP'):
        write_curves(out / 'train', out)
    with journal.step('representations', 'what masks are made of'):
        unshown = draw_representations(model, ours, out)
    with written_whole(out / 'report.md') as temporary:
        temporary.write_text(report(ours, trials.get(COMPARED), journal, unshown=unshown), encoding='utf-8')


def image_size(cfg: Config) -> int:
    """The shorter side, in pixels, to which the config's test pipeline resizes images."""
    pipeline = cfg.test_dataloader.dataset.get('pipeline', ())
    scale = next((transform['scale'] for transform in pipeline if 'scale' in transform), None)
    if scale is None:
        raise InputError('the config does not say to which size it resizes images; pass --size')
    return min(scale)


def _fingerprint(cfg: Config) -> str:
    """A hash of a config's content."""
    content = json.dumps(cfg.to_dict(), sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()
