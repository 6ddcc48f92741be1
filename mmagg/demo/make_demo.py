"""The whole way on generated scenes: shapes, training, evaluation, pictures, curves and a report, in one process."""

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from mmengine.config import Config
from tqdm import tqdm

from mmagg.apis.config import shipped_config
from mmagg.demo.report import DemoFacts, Trained, report
from mmagg.demo.shapes import check_numbers, write_shapes
from mmagg.demo.steps import Trial, draw_curves, draw_overlays, draw_representations, load_trained
from mmagg.io.errors import InputError
from mmagg.io.files import write_json, written_whole

CONFIG = 'demo/aggmask_tiny_shapes.py'
COMPARED = ' compared'  # marks the steps of --compare
STEPS = (
    'shapes',
    'train',
    'train compared',
    'evaluate',
    'evaluate compared',
    'overlays',
    'curves',
    'representations',
)
PICTURES = ('overlays.png', 'curves.png', 'curves.csv', 'representations.png')
RESULTS = ('train', 'test', 'compare', 'report.md', *PICTURES)  # made anew together, but for what `KEPT` allows
DATA = ('images', 'val_images', 'size', 'seed')
KEPT = {  # long steps: where their results are, and the arguments that determine them
    'shapes': ('shapes', DATA),
    'train': ('train', (*DATA, 'config')),
    'train compared': ('compare', (*DATA, 'compare')),
}


@dataclass
class Journal:
    """What a demo has done so far; kept in a file, so that an interrupted demo can go on.

    Attributes:
        path: the file.
        arguments: what determines the result.
        done: steps that are complete.
        seconds: duration by step, of the training with what it took before interruptions.
        resumed: whether a training was interrupted.
    """

    path: Path
    arguments: dict
    done: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    resumed: bool = False

    @classmethod
    def read(cls, path: Path) -> 'Journal | None':
        """The journal in ``path``, None if there is none."""
        if not path.is_file():
            return None
        try:
            return cls(path, **json.loads(path.read_text(encoding='utf-8')))
        except (ValueError, TypeError) as error:
            raise InputError(f'{path}: not the journal of a demo; choose another --out') from error

    @property
    def steps(self) -> list[str]:
        """Names of all steps, in order."""
        return [step for step in STEPS if self.arguments['compare'] or not step.endswith(COMPARED)]

    def write(self) -> None:
        """Save it, whole or not at all."""
        write_json({name: value for name, value in asdict(self).items() if name != 'path'}, self.path)

    @contextmanager
    def step(self, name: str, what: str) -> Iterator[None]:
        """Announce a step, measure it, and note it as done unless it fails."""
        tqdm.write(f'[{self.steps.index(name) + 1}/{len(self.steps)}] {name}: {what}')
        sys.stdout.flush()
        before = self.seconds.get(name, 0) if name.startswith('train') else 0
        start = time.monotonic()
        try:
            yield
            self.done = [*(step for step in self.done if step != name), name]
        finally:
            self.seconds[name] = before + time.monotonic() - start
            self.write()


@dataclass(frozen=True)
class Demo:
    """A finished demo.

    Attributes:
        report: the report's file.
        metrics: mmdet's COCO metrics of the model, fractions; empty where it found nothing.
        compared: those of the other model; None without one.
        done_already: it was found finished.
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
        config: what to train, default: a tiny AggMask.
        compare: a config to train on the same scenes, whose AP stands beside.
        images: scenes to train on.
        val_images: held-out scenes.
        size: image side in pixels, default: as the config resizes.
        seed: of the scenes and the training.
        overwrite: train again, also if ``out`` holds a finished or interrupted demo.
        cfg_options: changes to the configs, dotted keys.

    Raises:
        InputError: a config or an argument cannot be used, or ``out`` holds something else.
    """
    out, config = Path(out), shipped_config(CONFIG) if config is None else Path(config)
    ours = Trial(config, cfg_options or {}, out / 'shapes', out, seed)
    trials = {'': ours}
    if compare:
        trials[COMPARED] = replace(ours, config=Path(compare), folder=out / 'compare')
    size = image_size(ours.cfg) if size is None else size
    data = {'images': images, 'val_images': val_images, 'size': size, 'seed': seed}
    check_numbers(**data)
    fingerprint = _fingerprint(trials[COMPARED].cfg) if compare else None
    arguments = {**data, 'config': _fingerprint(ours.cfg), 'compare': fingerprint}
    journal = _open_journal(out, arguments, overwrite=overwrite)
    done_already = set(journal.steps) <= set(journal.done) and (out / 'report.md').is_file()
    if not done_already:
        _carry_out(journal, trials, out, data)
    compared = trials[COMPARED].metrics if compare else None
    return Demo(out / 'report.md', ours.metrics, compared, done_already)


def _carry_out(journal: Journal, trials: dict[str, Trial], out: Path, data: dict[str, int]) -> None:
    """Do all steps that are not done, and write the report."""
    ours = trials['']
    if 'shapes' not in journal.done:
        scenes = '{images} + {val_images} scenes of {size} × {size} pixels'.format(**data)
        with journal.step('shapes', scenes):
            write_shapes(ours.shapes, **data, overwrite=True)
    for which, trial in trials.items():
        _train(journal, f'train{which}', trial)
    for which, trial in trials.items():
        with journal.step(f'evaluate{which}', f'{trial.config.stem}, {trial.checkpoint.name} on the held-out scenes'):
            trial.evaluate()
    with journal.step('overlays', 'ground truth beside prediction'):
        model = load_trained(ours)
        draw_overlays(model, out)
    with journal.step('curves', 'losses and validation AP'):
        draw_curves(out)
    with journal.step('representations', 'what masks are made of'):
        unshown = draw_representations(model, ours, out)
    trained = {
        which: Trained(trial.config, trial.budget, trial.metrics, journal.seconds[f'train{which}'])
        for which, trial in trials.items()
    }
    facts = DemoFacts(
        **data,
        trained=trained[''],
        compared=trained.get(COMPARED),
        trained_config=ours.trained_config,
        checkpoint=ours.checkpoint,
        out=out,
        classes=tuple(model.dataset_meta['classes']),
        seconds={step: journal.seconds[step] for step in journal.steps},
        resumed=journal.resumed,
        unshown=unshown,
    )
    with written_whole(out / 'report.md') as temporary:
        temporary.write_text(report(facts), encoding='utf-8')


def image_size(cfg: Config) -> int:
    """The shorter side, in pixels, to which the config's test pipeline resizes images."""
    pipeline = cfg.test_dataloader.dataset.get('pipeline', ())
    scale = next((transform['scale'] for transform in pipeline if 'scale' in transform), None)
    if scale is None:
        raise InputError('the config does not say to which size it resizes images; pass --size')
    return min(scale)


def _fingerprint(cfg: Config) -> str:
    """Differs between any two configs whose contents differ."""
    content = json.dumps(cfg.to_dict(), sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()


def _open_journal(out: Path, arguments: dict, *, overwrite: bool) -> Journal:
    """The journal of an interrupted or finished demo in ``out``, or a new one; then old results are deleted."""
    old = Journal.read(out / 'demo.json')
    if old is None:
        taken = [name for name in ('shapes', *RESULTS) if (out / name).exists()]
        if taken:
            raise InputError(f'{out} holds {taken[0]}, but not from a demo; choose another --out')
    elif old.arguments == arguments and 'shapes' in old.done and not overwrite:
        return old
    journal = Journal(out / 'demo.json', arguments)
    journal.write()  # before anything is deleted: if that is interrupted, all of it is repeated
    kept = {
        step: folder
        for step, (folder, names) in KEPT.items()
        if old is not None
        and step in old.done
        and all(old.arguments.get(name) == arguments[name] for name in names)
        and (out / folder).is_dir()
        and (step == 'shapes' or not overwrite)
    }
    for path in (out / name for name in RESULTS if name not in kept.values()):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    if kept:
        journal.done, journal.seconds = list(kept), {step: old.seconds[step] for step in kept}
        journal.resumed = old.resumed and list(kept) != ['shapes']
        journal.write()
    return journal


def _train(journal: Journal, step: str, trial: Trial) -> None:
    """Train a config unless that is done, from its last checkpoint if there is one."""
    resume = trial.checkpoint is not None
    if resume and step in journal.done:
        return
    journal.resumed |= resume
    first = 'going on from the last checkpoint' if resume else 'from scratch'
    with journal.step(step, f'{trial.config.stem}, {first} (if interrupted, the same command goes on)'):
        trial.train(resume=resume)
