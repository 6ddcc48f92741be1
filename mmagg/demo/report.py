"""The Markdown report of a demo."""

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from mmagg.apis.config import shipped_config
from mmagg.apis.hardware import hardware, usable_device
from mmagg.demo.journal import DATA, Journal
from mmagg.demo.shapes import CLASSES
from mmagg.demo.steps import Trial
from mmagg.io.tables import NONE, percent

COLUMNS = {'AP': '', 'AP50': '_50', 'AP75': '_75', 'small': '_s', 'medium': '_m', 'large': '_l'}
NAMES = {'box': 'bbox', 'mask': 'segm'}
SHIPPED = Path(__file__).resolve().parents[1] / '.mim'  # with the package; in a clone, links
FULL_CONFIG = 'aggmask/aggmask-solo_r50_fpn_3x_coco.py'


def average_precision(metrics: Mapping[str, float], kind: str, suffix: str = '') -> str:
    """An AP in per cent; a dash without one: there are no such objects, or nothing was found.

    Args:
        metrics: mmdet's COCO metrics, fractions; COCO marks a missing one by -1.
        kind: ``bbox`` or ``segm``.
        suffix: of mmdet's name, e.g. ``_50``.
    """
    value = metrics.get(f'coco/{kind}_mAP{suffix}', -1)
    return percent(value if value >= 0 else None)


def duration(seconds: float) -> str:
    """Seconds as minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f'{minutes} min {rest} s' if minutes else f'{rest} s'


def machine() -> str:
    """The GPU that is used if any, the processor, its cores, and PyTorch's version."""
    found = hardware(usable_device())
    gpu = f'{found["gpu"]}, ' if found['gpu'] else ''
    return f'{gpu}{found["cpu"]}, {found["cores"]} cores, PyTorch {found["torch"]}'


def report(ours: Trial, other: Trial | None, journal: Journal, *, unshown: str | None) -> str:
    """The report's text; pictures are linked as files beside it.

    Args:
        ours: the demo's model.
        other: the model of ``--compare``, if there is one.
        journal: of the demo.
        unshown: the reason why there is no picture of what masks are made of; None if there is one.
    """
    images, val_images, size, seed = (journal.arguments[name] for name in DATA)
    number, metrics = ours.budget['epochs'], ours.metrics
    epochs = f', {number} epochs' if number else ''
    resumed = ' Training was interrupted and went on from a checkpoint.' if journal.resumed else ''
    nothing = '' if metrics else ' It found nothing in any of them.'
    config, checkpoint, trained = map(command_path, (ours.config, ours.checkpoint, ours.trained_config))
    out, full = command_path(ours.folder), command_path(shipped_config(FULL_CONFIG))
    return f"""# Demo: instance segmentation of generated shapes

`{config}` was trained from scratch on {images} generated scenes
of {size} × {size} pixels{epochs}.{resumed}
It was evaluated on {val_images} held-out scenes, none of which it saw in training.{nothing}
Classes: {', '.join(CLASSES)}. Seed of scenes and training: {seed}.

## Result

{_table(['', *COLUMNS], [[name, *_row(metrics, kind)] for name, kind in NAMES.items()])}

Average precision in per cent on the held-out scenes (COCO: mean over the IoU thresholds 0.50 to 0.95).
Small objects have an area below 32² pixels, large ones above 96²; {NONE} where there are none.
{'' if other is None else _comparison(ours, other, journal.seconds)}
Held-out scenes, truth on the left, prediction on the right:

![ground truth beside prediction](overlays.png)

{_representations(unshown)}

![loss and validation AP over the iterations](curves.png)

The curves' numbers are in [curves.csv](curves.csv), the metrics in [test/metrics.json](test/metrics.json).
[report/report.html](report/report.html) has more about the held-out scenes: precision and recall, AP by size and in
crowds, kinds of errors, the best and the worst scenes, and where the time goes.

## Time

{_table(['step', 'time'], [[name, duration(journal.seconds[name])] for name in journal.steps])}

{machine()}.

## Go on

In the folder where the demo was started. Look at your own images (this model knows only the shapes above):

```bash
{_command('demo')} IMAGE_OR_FOLDER {trained} {checkpoint} --out-dir {out}/mine
```

Train on your own data, a folder with `annotations/instances_{{train,val}}.json` and
`images/{{train,val}}/`; the classes are read from it. On a CPU this small model from scratch, on a GPU one
that starts from ImageNet weights:

```bash
{_command('train')} {config} --coco DATA --work-dir work_dirs/mine
{_command('train')} {full} --coco DATA --work-dir work_dirs/mine
```

Evaluate again and draw every held-out image:

```bash
{_command('test')} {trained} {checkpoint} --work-dir {out}/test --show-dir {out}/test/images
```
"""


def command_path(path: Path) -> str:
    """``path`` as it is written in a command: relative if it lies below the working directory."""
    path = Path(os.path.abspath(path))
    return shlex.quote(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))


def _command(name: str) -> str:
    """The call of a command: by the script of a clone, or by the package."""
    script, python = (SHIPPED / 'tools' / f'{name}.py').resolve(), command_path(Path(sys.executable))
    installed = script.is_relative_to(SHIPPED)
    return f'{python} -m mmagg {name}' if installed else f'{python} {command_path(script)}'


def _comparison(ours: Trial, other: Trial, seconds: Mapping[str, float]) -> str:
    """Both models in a table, and whether they had the same budget."""
    header = ['', 'mask AP', 'AP50', 'AP75', 'box AP', 'epochs', 'training time']
    rows = [
        [
            f'`{command_path(model.config)}`',
            *(average_precision(model.metrics, 'segm', COLUMNS[name]) for name in ('AP', 'AP50', 'AP75')),
            average_precision(model.metrics, 'bbox'),
            str(model.budget['epochs'] or NONE),
            duration(seconds[step]),
        ]
        for model, step in ((ours, 'train'), (other, 'train compared'))
    ]
    differing = [name for name, value in ours.budget.items() if value != other.budget[name]]
    budget = 'Both had the same budget: scenes, their resizing and augmentation, length of the training, batch size.'
    if differing:
        budget = f'Their budgets are not the same: the configs differ in {", ".join(differing)}.'
    return f"""
Beside another config, trained and evaluated on the same scenes:

{_table(header, rows)}

{budget}
The other config's metrics are in [compare/test/metrics.json](compare/test/metrics.json).
"""


def _representations(unshown: str | None) -> str:
    """The picture of the masks' parts, or the reason why there is none."""
    if unshown:
        return f'There is no picture of what its masks are made of: {unshown}.'
    return """What a mask is made of (AggMask, Fig. 5), a row per instance of one held-out scene: the instance and its
cell, the maps at the cell and around it (logits; red: inside, blue: outside), and the mask that comes of them:

![what masks are made of](representations.png)"""


def _row(metrics: Mapping[str, float], kind: str) -> list[str]:
    return [average_precision(metrics, kind, suffix) for suffix in COLUMNS.values()]


def _table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table with numbers to the right of a left-aligned first column."""
    rule = ['---', *['---:'] * (len(header) - 1)]
    return '\n'.join(f'| {" | ".join(cells)} |' for cells in (header, rule, *rows))
