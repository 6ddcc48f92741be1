"""Cases: a command and edits of its inputs, drawn by a seed and a number, or read from a file."""

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuzz import byte_edits, checkpoint_edits, config_edits, image_edits, json_edits, text_edits
from fuzz.material import Material
from fuzz.targets import SHARES, STRICT, TARGETS
from fuzz.wordlists import words

Edit = list[Any]
MEMBERS = (('data.pkl', 4000), ('data.pkl', 400), ('version', 2), ('byteorder', 6), ('/data/0', 60))
ARRAYS = (
    ('components_c.npy', 300),
    ('mean_c.npy', 200),
    ('variance_c.npy', 300),
    ('ratio_c.npy', 200),
    ('sigmoid.npy', 129),
)
"""Members of checkpoints and of dictionaries, and how many of their bytes are edited."""


@dataclass(frozen=True)
class Case:
    """A command and edits of its inputs.

    Attributes:
        kind: of the inputs that are edited, a key of `TARGETS`.
        line: the command line, as in `TARGETS`.
        edits: see the files named ``*_edits``.
        code: the exit code that it must have; None for any that is no fault.
    """

    kind: str
    line: str
    edits: tuple[Edit, ...]
    code: int | None = None

    @property
    def command(self) -> str:
        """The command's name."""
        return self.line.split()[0]

    @property
    def strict(self) -> bool:
        """Whether every error must have been foreseen."""
        return self.kind in STRICT

    def to_json(self) -> str:
        """The case as a file has it."""
        edits = ',\n    '.join(json.dumps(edit) for edit in self.edits)
        head = f'{{\n  "kind": {json.dumps(self.kind)},\n  "line": {json.dumps(self.line)},\n'
        head += '' if self.code is None else f'  "code": {self.code},\n'
        return f'{head}  "edits": [\n    {edits}\n  ]\n}}\n'


def read(file: Path) -> Case:
    """The case of a file."""
    content = json.loads(file.read_text())
    return Case(content['kind'], content['line'], tuple(content['edits']), content.get('code'))


def draw(seed: int, number: int, material: Material, *, kinds: tuple[str, ...] = tuple(SHARES)) -> Case:
    """The case of a seed and a number."""
    chance = random.Random(f'{seed} {number}')
    kind = chance.choices(kinds, [SHARES[kind] for kind in kinds])[0]
    target = chance.choices(TARGETS[kind], [target.weight for target in TARGETS[kind]])[0]
    file = chance.choice(target.files)
    count = chance.choices([1, 2, 3, 6], [70, 18, 8, 4])[0]
    return Case(kind, target.line, tuple(_edit(chance, kind, target.line, file, material) for _ in range(count)))


def _edit(chance: random.Random, kind: str, line: str, file: str, material: Material) -> Edit:
    size = material.sizes.get(file, 1)
    raw = chance.random()
    if kind == 'names':
        known = file.startswith('data/images/') and not line.startswith('demo ') and raw < 0.8
        return ['renamed' if known else 'name', file, chance.choice(words('text_names'))]
    if kind == 'images':
        return image_edits.draw(chance, file) if raw < 0.7 else byte_edits.draw(chance, file, size)
    if kind == 'exports' and not file.endswith('.json'):
        if file.endswith('.png'):
            return image_edits.draw(chance, file) if raw < 0.7 else byte_edits.draw(chance, file, size)
        return text_edits.draw(chance, file) if raw < 0.6 else byte_edits.draw(chance, file, size)
    if kind == 'runs' and file not in material.documents:
        if raw < 0.3:
            return ['bytes', file, 'whole', 0, chance.choice([*words('text_names'), '(replaced)', 'epoch_1.pth', ''])]
        return byte_edits.draw(chance, file, size)
    if file.endswith('.json'):
        if raw < 0.1:
            return byte_edits.draw(chance, file, size)
        return json_edits.draw(chance, file, material.documents[file])
    if kind == 'configs':
        return (
            byte_edits.draw(chance, file, size)
            if raw < 0.1
            else config_edits.draw(chance, file, material.configs[file])
        )
    if file == 'weights.pkl':
        return ['planted', file] if raw < 0.05 else byte_edits.draw(chance, file, size if raw < 0.3 else min(size, 700))
    if raw < 0.15:
        return byte_edits.draw(chance, file, size)
    if file.endswith('.npz') or (raw < 0.35 and file != 'old.pth'):
        member, length = chance.choice(ARRAYS if file.endswith('.npz') else MEMBERS)
        return byte_edits.draw(chance, file, length, member=member)
    return checkpoint_edits.draw(chance, file, material.checkpoints[file])


def prepare(case: Case, material: Material, folder: Path) -> list[str]:
    """Lay out a case's inputs in ``folder``, which must be empty; returns the command line.

    ``in`` has the inputs, ``out`` is for what is written, and has what an earlier call has left there.
    """
    inputs, out, words = folder / 'in', folder / 'out', case.line.split()
    for name in ('in', 'out', 'tmp', 'here'):
        (folder / name).mkdir(parents=True)
    for name in {word.partition('@')[2].partition('/')[0] for word in words if '@' in word}:
        source = material.folder / name
        copy: Callable = shutil.copytree if source.is_dir() else shutil.copyfile
        copy(source, inputs / name)
    left = [word[1:] for word in words if word[0] == '+' and (material.folder / 'left' / word[1:]).is_dir()]
    for name in left:
        shutil.copytree(material.folder / 'left' / name, inputs / 'left' / name)
    names, options = {}, []
    by_file: dict[str, list[Edit]] = {}
    for edit in case.edits:
        if edit[0] == 'json':
            by_file.setdefault(edit[1], []).append(edit)
    for edits in by_file.values():
        json_edits.apply(inputs, edits)
    for edit in sorted(case.edits, key=lambda edit: edit[0] in ('bytes', 'member')):  # which may make a file unreadable
        if edit[0] == 'option':
            options.append(edit[1])
        elif edit[0] in ('name', 'renamed'):
            names[edit[1]] = edit[2]
            if edit[0] == 'renamed':
                _rename(inputs, Path(edit[1]).name, edit[2])
        elif edit[0] != 'json':
            APPLY[edit[0]](inputs, edit)
    for name in left:
        shutil.move(inputs / 'left' / name, out / name)
    if left:
        (inputs / 'left').rmdir()
    for old, new in names.items():
        if not old.startswith('+'):
            (inputs / old).rename((inputs / old).with_name(new))
            words = [f'@{Path(old).with_name(new)}' if word == f'@{old}' else word for word in words]
        else:
            words = [f'+{new}' if word == old else word for word in words]
    if options:
        words += [] if '--cfg-options' in words else ['--cfg-options']
    return [_placed(word, inputs, out) for word in words] + options


def _rename(inputs: Path, old: str, new: str) -> None:
    """Give an image another name in annotations."""
    for file in inputs.glob('data/annotations/*.json'):
        content = json.loads(file.read_text())
        for image in content['images']:
            image['file_name'] = new if image['file_name'] == old else image['file_name']
        file.write_text(json.dumps(content))


def _placed(word: str, inputs: Path, out: Path) -> str:
    if word.startswith('+'):
        return f'{out}/{word[1:]}'
    before, at, path = word.partition('@')
    return f'{before}{inputs}/{path}' if at else word


APPLY = {
    'bytes': byte_edits.apply,
    'member': byte_edits.apply,
    'line': config_edits.apply,
    'tensor': checkpoint_edits.apply,
    'planted': checkpoint_edits.apply,
    'image': image_edits.apply,
    'number': text_edits.apply,
}
