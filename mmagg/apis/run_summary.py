"""What a training has come to: its best or last checkpoint, the score of that, and where its pictures are."""

import re
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from mmagg.apis.training_options import LEAST_GAIN
from mmagg.datasets.coco_folder import unwrapped
from mmagg.engine.past_scores import past_scores, step_of
from mmagg.io.run_folder import BEST, RECORDS, SHEETS, noted
from mmagg.visualization.curves import read_lines


@dataclass(frozen=True)
class RunSummary:
    """A training's results.

    Attributes:
        checkpoint: the best one, if the training keeps that and has found something, else the last.
        score: the name and the value of the best, where they are known.
        best: the epoch or iteration of the checkpoint, as `epoch 10`.
        last: that of the last checkpoint.
        files: what there is to look at, by what it is.
        images: the folder of the images that the config tests on, where it says one.
        epochs: of the whole training, where it counts them.
        seen: whether the validation images are those of the training.
    """

    checkpoint: Path
    score: tuple[str, float] | None
    best: str
    last: str
    files: dict[str, Path]
    images: Path | None
    epochs: int | None = None
    seen: bool = False

    def __str__(self) -> str:
        lines = [f'{what}: {path}' for what, path in {'checkpoint': self.checkpoint, **self.files}.items()]
        if self.score is not None:
            name, value = self.score
            best = f'best: {name} {value:.3f} at {self.best}, the last is {self.last}'
            longer = f' (--epochs N, above {self.epochs})' if self.epochs else ''
            nothing = f'nothing found yet: {name} {value:.3f} at best, the last is {self.last}; train longer{longer}'
            if self.seen:
                lines.insert(0, 'these are scores of the training images: they say nothing about new images')
            lines.insert(0, nothing if _found_nothing(self.score) else best)
        return '\n'.join(lines)


def run_summary(work_dir: str | Path, config: str | Path | None = None) -> RunSummary | None:
    """Sum up the run in a work dir; None where it has no checkpoint.

    Args:
        work_dir: the run's.
        config: the file in it that the training has saved; it says whether the best one is kept, and `images`.
    """
    work_dir = Path(work_dir)
    cfg = Config.fromfile(config) if config is not None and Path(config).is_file() else None
    last = noted(work_dir)
    checkpoint = last if cfg is not None and not _keeps_best(cfg) else best_or_last(work_dir)
    if checkpoint is None:
        return None
    score = _score(work_dir, checkpoint)
    if last is not None and _found_nothing(score):
        checkpoint = last
    logs = sorted(work_dir.glob('*/*.log'))
    found = {'curves': work_dir / 'curves.png', 'validations': work_dir / SHEETS} | ({'log': logs[-1]} if logs else {})
    files = {what: path for what, path in found.items() if path.exists()}
    at = _place(checkpoint)
    epochs = None if cfg is None else (cfg.get('train_cfg') or {}).get('max_epochs')
    return RunSummary(checkpoint, score, at, _place(last) if last else at, files, _images(cfg), epochs, _seen(cfg))


def best_or_last(work_dir: Path) -> Path | None:
    """The checkpoint to test: the best one, if a training keeps that, else the last."""
    last = noted(work_dir)
    folder = work_dir if last is None else last.parent
    return max(folder.glob('best_*.pth'), key=lambda path: path.stat().st_mtime, default=last)


def _place(checkpoint: Path) -> str:
    """`epoch 10` of `best_coco_segm_mAP_epoch_10.pth`."""
    found = re.search(r'(epoch|iter)_(\d+)\.pth$', checkpoint.name)
    return checkpoint.name if found is None else f'{found[1]} {found[2]}'


def _score(work_dir: Path, checkpoint: Path) -> tuple[str, float] | None:
    """The name and the value of the score by which a checkpoint is the best."""
    step = step_of(checkpoint)
    if not BEST.fullmatch(checkpoint.name) or step is None:
        return None
    written = re.fullmatch(r'best_(.+)_(?:epoch|iter)_\d+', checkpoint.stem)
    names = {name for path in work_dir.glob(RECORDS) for line in read_lines(path) for name in line}
    name = next((one for one in names if written and one.replace('/', '_') == written[1]), None)
    score = None if name is None else past_scores(work_dir, name).get(step)
    return None if name is None or score is None else (name, score)


def _found_nothing(score: tuple[str, float] | None) -> bool:
    """True where the best AP is 0 as it is printed, so that the best checkpoint is but the first; -1 is no score."""
    return score is not None and 'loss' not in score[0] and 0 <= score[1] < LEAST_GAIN


def _keeps_best(cfg: Config) -> bool:
    """False where a run has no validations any more: an earlier best one is not that of the training."""
    return bool(((cfg.get('default_hooks') or {}).get('checkpoint') or {}).get('save_best'))


def _images(cfg: Config | None) -> Path | None:
    """The folder of the images that a saved config tests on."""
    dataset = _dataset(cfg, 'test')
    prefix = (dataset.get('data_prefix') or {}).get('img')
    return None if prefix is None else Path(dataset.get('data_root') or '', prefix)


def _seen(cfg: Config | None) -> bool:
    """Whether a saved config validates on the annotations that it trains on, as of a folder without `val`."""
    files = [(part.get('data_root'), part.get('ann_file')) for part in (_dataset(cfg, 'train'), _dataset(cfg, 'val'))]
    return files[0] == files[1] != (None, None)


def _dataset(cfg: Config | None, stage: str) -> dict:
    return unwrapped(((cfg or {}).get(f'{stage}_dataloader') or {}).get('dataset') or {})
