"""The whole way on generated scenes, as ``tools/make_demo.py`` and ``make demo`` offer it.

Shapes, training, evaluation, overlays, curves and a report, in one process.
"""

import argparse
import hashlib
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor
from tqdm import tqdm

from mmagg.apis import test as testing
from mmagg.apis import train as training
from mmagg.apis.brief_log import BriefLog
from mmagg.apis.config import OptionsAction, load_config
from mmagg.apis.data import use_coco_folder
from mmagg.apis.demo_report import DemoFacts, average_precision, command_path, report
from mmagg.apis.errors import InputError, add_traceback_flag
from mmagg.apis.files import write_json, written_whole
from mmagg.apis.images import read_image, write_image
from mmagg.apis.inference import infer, load_model
from mmagg.apis.results import confident
from mmagg.datasets.shapes import write_shapes
from mmagg.visualization.contact_sheet import enlarge, enlarge_image, paired_sheet
from mmagg.visualization.curves import plot_curves, read_scalars, write_csv
from mmagg.visualization.overlay import decode_mask, draw_instances

CONFIG = Path(__file__).resolve().parents[2] / 'configs' / 'demo' / 'solo_tiny_shapes.py'
STEPS = ('shapes', 'train', 'evaluate', 'overlays', 'curves')
RESULTS = ('train', 'test', 'report.md', 'overlays.png', 'curves.png', 'curves.csv')  # made anew together
SHOWN, COLUMNS = 12, 3  # held-out images on the sheet, in so many columns of pairs
SHOWN_SIDE = 320  # pixels; smaller images are enlarged to about this side, so that labels do not cover them
SCORE_THR = 0.3


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/make_demo.py``."""
    parser = argparse.ArgumentParser(
        description='Show all of it on generated scenes: make data, train, evaluate on held-out scenes, draw '
        'overlays and curves, and write OUT/report.md.',
        epilog='The same command again: an interrupted demo goes on from its last checkpoint; a finished one '
        'says that it is done (--overwrite repeats it). Other arguments, or a changed config, replace the demo '
        'in OUT; shapes made with the same arguments are kept.',
    )
    parser.add_argument('--config', type=Path, default=CONFIG, help=f'default: {command_path(CONFIG)}')
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
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OptionsAction,
        metavar='KEY=VALUE',
        help='change the config, e.g. train_cfg.max_epochs=1',
    )
    add_traceback_flag(parser)
    return parser


@dataclass
class Journal:
    """What a demo has done so far; kept in a file, so that an interrupted demo can go on.

    Attributes:
        path: the file.
        arguments: what determines the result.
        done: steps that are complete.
        seconds: duration by step, of the training with what it took before interruptions.
        resumed: whether the training was interrupted.
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

    def write(self) -> None:
        """Save it, whole or not at all."""
        write_json({name: value for name, value in asdict(self).items() if name != 'path'}, self.path)

    @contextmanager
    def step(self, name: str, what: str) -> Iterator[None]:
        """Announce a step, measure it, and note it as done unless it fails."""
        print(f'[{STEPS.index(name) + 1}/{len(STEPS)}] {name}: {what}', flush=True)  # noqa: T201
        before = self.seconds.get(name, 0) if name == 'train' else 0
        start = time.monotonic()
        try:
            yield
            self.done = [*(step for step in self.done if step != name), name]
        finally:
            self.seconds[name] = before + time.monotonic() - start
            self.write()


def make_demo(args: argparse.Namespace) -> None:
    """Run as the arguments of `parser` say."""
    cfg = load_config(args.config, args.cfg_options)
    size = image_size(cfg) if args.size is None else args.size
    data = {'images': args.images, 'val_images': args.val_images, 'size': size, 'seed': args.seed}
    journal = _open_journal(args.out, {**data, 'config': _fingerprint(cfg)}, data, overwrite=args.overwrite)
    if set(STEPS) <= set(journal.done) and (args.out / 'report.md').is_file():
        print('done already with these arguments; --overwrite repeats it')  # noqa: T201
        _conclude(args.out)
        return

    if 'shapes' not in journal.done:
        with journal.step('shapes', f'{args.images} + {args.val_images} scenes of {size} × {size} pixels'):
            write_shapes(args.out / 'shapes', **data, overwrite=True)
    if 'train' not in journal.done:
        journal.resumed |= _has_checkpoint(args.out / 'train')
        first = 'going on from the last checkpoint' if journal.resumed else 'from scratch'
        with journal.step('train', f'{first} (if interrupted, the same command goes on)'):
            _train(args, resume=journal.resumed)
    checkpoint = training.latest_checkpoint(args.out / 'train')
    with journal.step('evaluate', f'{checkpoint.name} on the held-out scenes'):
        _evaluate(args, checkpoint)
    with journal.step('overlays', 'ground truth beside prediction'):
        classes = _draw_overlays(cfg, checkpoint, args.out)
    with journal.step('curves', 'losses and validation AP'):
        _draw_curves(args.out)
    facts = DemoFacts(
        **data,
        config=args.config,
        trained_config=args.out / 'train' / args.config.name,
        checkpoint=checkpoint,
        out=args.out,
        classes=classes,
        epochs=cfg.train_cfg.get('max_epochs'),
        metrics=_metrics(args.out),
        seconds=journal.seconds,
        resumed=journal.resumed,
    )
    with written_whole(args.out / 'report.md') as temporary:
        temporary.write_text(report(facts), encoding='utf-8')
    _conclude(args.out)


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


def _open_journal(out: Path, arguments: dict, data: dict, *, overwrite: bool) -> Journal:
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
    for path in (out / name for name in RESULTS):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    same_data = old is not None and {name: old.arguments.get(name) for name in data} == data
    if same_data and 'shapes' in old.done and (out / 'shapes').is_dir():
        journal.done, journal.seconds = ['shapes'], {'shapes': old.seconds['shapes']}
        journal.write()
    return journal


def _has_checkpoint(work_dir: Path) -> bool:
    """Whether training can go on; not if it was killed between deleting a checkpoint and writing the next."""
    try:
        return training.latest_checkpoint(work_dir) is not None
    except InputError:
        return False


def _train(args: argparse.Namespace, *, resume: bool) -> None:
    """Train as ``tools/train.py`` does."""
    data, work_dir = str(args.out / 'shapes'), str(args.out / 'train')
    arguments = ['--coco', data, '--work-dir', work_dir, '--seed', str(args.seed)]
    parsed = training.parser().parse_args([str(args.config), *arguments, *(['--resume'] if resume else [])])
    parsed.cfg_options = args.cfg_options
    with redirect_stdout(BriefLog(sys.stdout)):
        training.train(parsed)


def _evaluate(args: argparse.Namespace, checkpoint: Path) -> None:
    """Test as ``tools/test.py`` does; leaves test/metrics.json."""
    arguments = ['--coco', str(args.out / 'shapes'), '--work-dir', str(args.out / 'test')]
    parsed = testing.parser().parse_args([str(args.config), str(checkpoint), *arguments])
    # mmengine keeps visualizers by name in the process; under its own, the test leaves the training's alone.
    parsed.cfg_options = {**(args.cfg_options or {}), 'visualizer.name': 'demo_test'}
    with redirect_stdout(BriefLog(sys.stdout)):
        testing.test(parsed)


def _metrics(out: Path) -> dict[str, float]:
    return json.loads((out / 'test' / 'metrics.json').read_text(encoding='utf-8'))


def _draw_overlays(cfg: Config, checkpoint: Path, out: Path) -> tuple[str, ...]:
    """Write overlays.png: truth and prediction of held-out images, evenly spread; returns the class names."""
    use_coco_folder(cfg, out / 'shapes')
    model = load_model(cfg, checkpoint, 'cuda:0' if torch.cuda.is_available() else 'cpu')
    classes = model.dataset_meta['classes']
    truth = json.loads((out / 'shapes/annotations/instances_val.json').read_text(encoding='utf-8'))
    names = {category['id']: category['name'] for category in truth['categories']}
    count = min(SHOWN, len(truth['images']))
    chosen = np.linspace(0, len(truth['images']) - 1, count).round().astype(int)
    pairs = []
    for index in tqdm(chosen, desc='overlays', unit='image'):
        record = truth['images'][index]
        image = read_image(out / 'shapes/images/val' / record['file_name'])
        objects = [a for a in truth['annotations'] if a['image_id'] == record['id']]
        labels = np.array([classes.index(names[a['category_id']]) for a in objects], int)
        found = confident(infer(model, [image])[0].pred_instances, SCORE_THR)
        pairs.append(
            (
                _overlay(image, [a['segmentation'] for a in objects], labels, None, classes),
                _overlay(image, found.masks, found.labels, found.scores, classes),
            )
        )
    sheet = paired_sheet(pairs, ('ground truth', f'prediction (score from {SCORE_THR})'), COLUMNS)
    write_image(sheet, out / 'overlays.png')
    return tuple(classes)


def _overlay(
    image: np.ndarray,
    masks: Sequence,
    labels: np.ndarray | Tensor,
    scores: Tensor | None,
    classes: Sequence[str],
) -> np.ndarray:
    """`draw_instances`, with small images enlarged first."""
    factor = max(1, round(SHOWN_SIDE / max(image.shape[:2])))
    enlarged = [enlarge(decode_mask(mask), factor) for mask in masks]
    return draw_instances(enlarge_image(image, factor), enlarged, labels, scores, None, classes)


def _draw_curves(out: Path) -> None:
    """Write curves.png and curves.csv."""
    records = read_scalars(out / 'train')
    with written_whole(out / 'curves.png') as temporary:
        plot_curves(records, temporary)
    with written_whole(out / 'curves.csv') as temporary:
        write_csv(records, temporary)


def _conclude(out: Path) -> None:
    """The last two lines: where the report is and how good the masks are."""
    metrics = _metrics(out)
    value = average_precision(metrics, 'segm') if metrics else 'none, the model found nothing'
    print(f'report: {command_path(out / "report.md")}\nmask AP: {value}')  # noqa: T201
