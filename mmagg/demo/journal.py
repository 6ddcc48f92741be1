"""The steps of a demo that are done, kept in a file, so that an interrupted demo can go on."""

import json
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tqdm import tqdm

from mmagg.io.errors import InputError
from mmagg.io.files import write_json

COMPARED = ' compared'  # marks the steps of --compare
STEPS = ('shapes', 'train', 'train compared', 'evaluate', 'evaluate compared', 'overlays', 'curves', 'representations')
PICTURES = ('overlays.png', 'curves.png', 'curves.csv', 'representations.png')
RESULTS = ('train', 'test', 'compare', 'report.md', *PICTURES)  # made anew together, but for those that `KEPT` allows
DATA = ('images', 'val_images', 'size', 'seed')
KEPT = {  # long steps: where their results are, and the arguments that determine them
    'shapes': ('shapes', DATA),
    'train': ('train', (*DATA, 'config')),
    'train compared': ('compare', (*DATA, 'compare')),
}


@dataclass
class Journal:
    """The progress of a demo.

    Attributes:
        path: the journal's file.
        arguments: all that determines the result: `DATA`, and fingerprints of the configs.
        done: steps that are complete.
        seconds: duration by step; a training's includes the time before interruptions.
        resumed: True if a training was interrupted.
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

    @classmethod
    def open(cls, out: Path, arguments: dict, *, overwrite: bool) -> 'Journal':
        """The journal of the demo with these arguments in ``out``, or a new one; then old results are deleted."""
        old = cls.read(out / 'demo.json')
        if old is None:
            taken = [name for name in ('shapes', *RESULTS) if (out / name).exists()]
            if taken:
                raise InputError(f'{out} holds {taken[0]}, but not from a demo; choose another --out')
        elif old.arguments == arguments and 'shapes' in old.done and not overwrite:
            return old
        journal = cls(out / 'demo.json', arguments)
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
        if old is not None and kept:
            journal.done, journal.seconds = list(kept), {step: old.seconds[step] for step in kept}
            journal.resumed = old.resumed and list(kept) != ['shapes']
            journal.write()
        return journal

    @property
    def steps(self) -> list[str]:
        """Names of all steps, in order."""
        return [step for step in STEPS if self.arguments['compare'] or not step.endswith(COMPARED)]

    def write(self) -> None:
        """Save it, whole or not at all."""
        write_json({name: value for name, value in asdict(self).items() if name != 'path'}, self.path)

    @contextmanager
    def step(self, name: str, description: str) -> Iterator[None]:
        """Announce a step, measure it, and note it as done unless it fails."""
        tqdm.write(f'[{self.steps.index(name) + 1}/{len(self.steps)}] {name}: {description}')
        sys.stdout.flush()
        before = self.seconds.get(name, 0) if name.startswith('train') else 0
        start = time.monotonic()
        try:
            yield
            self.done = [*(step for step in self.done if step != name), name]
        finally:
            self.seconds[name] = before + time.monotonic() - start
            self.write()
