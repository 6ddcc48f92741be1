"""The whole way on generated scenes, as ``tools/make_demo.py`` and ``make demo`` offer it.

Shapes, training, evaluation, pictures, curves and a report, in one process.
"""

import argparse
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from mmengine.config import Config

from mmagg.cli.arguments import add_cfg_options
from mmagg.demo.demo_report import DemoFacts, Trained, average_precision, command_path, report
from mmagg.demo.demo_steps import Trial, draw_curves, draw_overlays, draw_representations, load_trained
from mmagg.demo.shapes import write_shapes
from mmagg.io.errors import InputError
from mmagg.io.files import write_json, written_whole

CONFIG = Path(__file__).resolve().parents[2] / 'configs' / 'demo' / 'aggmask_tiny_shapes.py'
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


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/make_demo.py``."""
    parser = argparse.ArgumentParser(
        description='Show all of it on generated scenes: make data, train, evaluate on held-out scenes, draw '
        'overlays and curves, and write OUT/report.md.',
        epilog='The same command again: an interrupted demo goes on from its last checkpoint; a finished one '
        'says that it is done (--overwrite repeats it). Other arguments, or a changed config, replace the demo '
        'in OUT; shapes and trained models that they do not change are kept.',
    )
    parser.add_argument('--config', type=Path, default=CONFIG, help=f'default: {command_path(CONFIG)}')
    parser.add_argument(
        '--compare',
        type=Path,
        metavar='CONFIG',
        help='also train this config on the same scenes with the same budget and show its AP beside; takes as long '
        'again; e.g. configs/demo/solo_tiny_shapes.py',
    )
    parser.add_argument('--out', type=Path, default=Path('work_dirs/demo'), metavar='OUT', help='default: %(default)s')
    for name, least, default, metavar, text in (
        ('--images', 1, 1000, 'N', 'scenes to train on (%(default)s)'),
        ('--val-images', 1, 100, 'M', 'held-out scenes (%(default)s)'),
        ('--size', 32, None, 'S', 'image side in pixels (default: as the config resizes)'),
        ('--seed', 0, 0, 'K', 'of the scenes and the training (%(default)s)'),
    ):
        parser.add_argument(name, type=_at_least(least), default=default, metavar=metavar, help=text)
    parser.add_argument(
        '--overwrite', action='store_true', help='train again, also if OUT holds a finished or interrupted demo'
    )
    add_cfg_options(parser, 'change the config, and the compared one, e.g. train_cfg.max_epochs=1')
    return parser


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
        print(f'[{self.steps.index(name) + 1}/{len(self.steps)}] {name}: {what}', flush=True)
        before = self.seconds.get(name, 0) if name.startswith('train') else 0
        start = time.monotonic()
        try:
            yield
            self.done = [*(step for step in self.done if step != name), name]
        finally:
            self.seconds[name] = before + time.monotonic() - start
            self.write()


def run(args: argparse.Namespace) -> None:
    """Run as the arguments of `parser` say."""
    ours = Trial(args.config, args.cfg_options or {}, args.out / 'shapes', args.out, args.seed)
    trials = {'': ours}
    if args.compare:
        trials[COMPARED] = replace(ours, config=args.compare, folder=args.out / 'compare')
    size = image_size(ours.cfg) if args.size is None else args.size
    data = {'images': args.images, 'val_images': args.val_images, 'size': size, 'seed': args.seed}
    compare = _fingerprint(trials[COMPARED].cfg) if args.compare else None
    arguments = {**data, 'config': _fingerprint(ours.cfg), 'compare': compare}
    journal = _open_journal(args.out, arguments, overwrite=args.overwrite)
    if set(journal.steps) <= set(journal.done) and (args.out / 'report.md').is_file():
        print('done already with these arguments; --overwrite repeats it')
        _conclude(args.out, trials)
        return

    if 'shapes' not in journal.done:
        with journal.step('shapes', f'{args.images} + {args.val_images} scenes of {size} × {size} pixels'):
            write_shapes(ours.shapes, **data, overwrite=True)
    for which, trial in trials.items():
        _train(journal, f'train{which}', trial)
    for which, trial in trials.items():
        with journal.step(f'evaluate{which}', f'{trial.config.stem}, {trial.checkpoint.name} on the held-out scenes'):
            trial.evaluate()
    with journal.step('overlays', 'ground truth beside prediction'):
        model = load_trained(ours)
        draw_overlays(model, args.out)
    with journal.step('curves', 'losses and validation AP'):
        draw_curves(args.out)
    with journal.step('representations', 'what masks are made of'):
        unshown = draw_representations(model, ours, args.out)
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
        out=args.out,
        classes=tuple(model.dataset_meta['classes']),
        seconds={step: journal.seconds[step] for step in journal.steps},
        resumed=journal.resumed,
        unshown=unshown,
    )
    with written_whole(args.out / 'report.md') as temporary:
        temporary.write_text(report(facts), encoding='utf-8')
    _conclude(args.out, trials)


def image_size(cfg: Config) -> int:
    """The shorter side, in pixels, to which the config's test pipeline resizes images."""
    pipeline = cfg.test_dataloader.dataset.get('pipeline', ())
    scale = next((transform['scale'] for transform in pipeline if 'scale' in transform), None)
    if scale is None:
        raise InputError('the config does not say to which size it resizes images; pass --size')
    return min(scale)


def _at_least(least: int) -> Callable[[str], int]:
    """An argument type: an integer that is not below ``least``."""

    def integer(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f'{text} is below {least}')
        return int(text)

    return integer


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


def _conclude(out: Path, trials: dict[str, Trial]) -> None:
    """The last lines: where the report is and how good the masks are."""
    print(f'report: {command_path(out / "report.md")}')
    for which, trial in trials.items():
        metrics = trial.metrics
        value = average_precision(metrics, 'segm') if metrics else 'none, the model found nothing'
        print(f'mask AP{which and f" of {command_path(trial.config)}"}: {value}')
