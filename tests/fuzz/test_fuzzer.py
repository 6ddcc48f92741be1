"""The fuzzer reports what is planted, and nothing else."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import mmagg.evaluation.errors  # noqa: F401  (which no case has to import then)
from fuzz import byte_edits, cases, json_edits
from fuzz.cases import Case
from fuzz.fuzzer import run_cases
from fuzz.isolation import Outcome, run_all
from fuzz.material import Material
from fuzz.verdict import faults

OUTSIDE = Path(tempfile.gettempdir(), f'fuzz-planted-{os.getpid()}')
SQUARE = [[4, 4, 30, 4, 30, 30, 4, 30]]
COCO = {
    'images': [{'id': 1, 'file_name': 'a.png', 'width': 48, 'height': 48}],
    'annotations': [{'id': 1, 'image_id': 1, 'category_id': 1, 'bbox': [4, 4, 26, 26], 'segmentation': SQUARE}],
    'categories': [{'id': 1, 'name': 'fig'}],
}
LINE = 'analyse-errors @a.json @r.json'


def ended(call: Callable[[], object], folder: Path, *, limit: float = 30) -> Outcome:
    """What becomes of a call that may write to ``folder``."""
    [(_, outcome)] = run_all([('', lambda: call, [folder])], jobs=1, limit=limit)
    return outcome


def said(outcome: Outcome, *, command: str = 'test', strict: bool = True) -> str:
    """The faults of an end."""
    return '; '.join(faults(outcome, command=command, strict=strict, inputs_changed=[], left_over=[]))


def fail(text: str, code: int = 2) -> int:
    sys.stderr.write(f'{text}\n')
    return code


def by_descriptor() -> None:
    folder = os.open('/', os.O_RDONLY)
    os.mkdir('tmp', dir_fd=folder)


PLANTED = {
    'a traceback': (lambda: [][0], 'traceback: IndexError'),
    'a signal': (lambda: os.kill(os.getpid(), signal.SIGSEGV), 'signal: SIGSEGV'),
    'a hang': (lambda: time.sleep(60), 'hangs'),
    'much output': (lambda: fail('x\n' * 600_000, 0), 'output of 1200001 characters'),
    'a control character': (lambda: fail('error: a.json: \x1b[31m'), "control character '\\x1b'"),
    'a long line': (lambda: fail('error: a.json: ' + 'x' * 3000), 'a line of 3015 characters'),
    '50 kB': (lambda: fail('error: a.json: ' + 'x' * 50_000), 'a line of 50015 characters'),
    'no line': (lambda: 2, 'without an error'),
    'an unforeseen error': (lambda: fail("error: KeyError: 'id' (--traceback shows where)"), 'unforeseen'),
    'an exit code': (lambda: sys.exit(7), 'exit code 7'),
    'the code of what went wrong inside': (lambda: 1, 'exit code 1'),
    'much memory': (lambda: len(bytearray(2_300_000_000)) and None, 'memory: '),
    'a file outside': (OUTSIDE.touch, f'outside: open {OUTSIDE}'),
    'a folder outside': (by_descriptor, 'outside: os.mkdir /tmp'),
    'a removal outside': (lambda: os.remove('/nowhere/at/all'), 'outside: os.remove /nowhere/at/all'),
    'a program': (lambda: subprocess.run(['true']).returncode, 'outside: subprocess.Popen'),
    'code in a file': (lambda: sys.audit('fuzz.planted'), 'ran planted code'),
}


@pytest.mark.parametrize('name', PLANTED)
def test_a_planted_fault_is_reported(name: str, tmp_path: Path) -> None:
    call, message = PLANTED[name]
    assert message in said(ended(call, tmp_path, limit=0.5 if name == 'a hang' else 30))
    OUTSIDE.unlink(missing_ok=True)


@pytest.mark.parametrize(
    'name', ['nothing', 'a refusal', 'a file', 'images that were skipped', 'a bare line of a config']
)
def test_a_sound_end_is_no_fault(name: str, tmp_path: Path) -> None:
    calls = {
        'nothing': lambda: None,
        'a refusal': lambda: fail('error: a.json: image 0: its size is none'),
        'a file': lambda: [(tmp_path / 'x').write_text('x'), (tmp_path / 'x').rename(tmp_path / 'y'), None][-1],
        'images that were skipped': lambda: 1,
        'a bare line of a config': lambda: fail('error: KeyError: 1 (--traceback shows where)'),
    }
    outcome = ended(calls[name], tmp_path)
    for command in ('browse', 'demo'):
        assert not said(outcome, command=command, strict=name != 'a bare line of a config')


def test_processes_that_a_call_leaves_behind_end_with_it(tmp_path: Path) -> None:
    def call() -> None:
        pid = os.fork()
        fail(str(pid), 0)
        if not pid:
            time.sleep(60)

    pid = max(map(int, ended(call, tmp_path).output.split()))
    stop = time.monotonic() + 20
    while Path(f'/proc/{pid}').exists() and 'Z' not in Path(f'/proc/{pid}/stat').read_text().split()[2]:
        assert time.monotonic() < stop
        time.sleep(0.02)


@pytest.fixture
def material(tmp_path: Path) -> Material:
    """An annotation and a result file."""
    folder = tmp_path / 'sound'
    folder.mkdir()
    (folder / 'a.json').write_text(json.dumps(COCO))
    (folder / 'r.json').write_text('[]')
    return Material(folder)


def outcome_of(material: Material, *edits: list, line: str = LINE, **options: object) -> list[str]:
    """The faults of a case."""
    [result] = run_cases([('', Case('annotations', line, edits))], material, **options)
    assert material.documents['a.json'] == json.loads((material.folder / 'a.json').read_text())
    return result.faults


def test_a_case_through_its_command(material: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    assert outcome_of(material) == []
    assert outcome_of(material, ['json', 'a.json', 'set', ['images', 0, 'height'], 'null']) == []

    def broken(*args: object, **options: object) -> None:
        raise RuntimeError('planted')

    monkeypatch.setattr('mmagg.datasets.coco_reader.read_truth', broken)
    [fault] = outcome_of(material)
    assert fault.startswith('traceback: RuntimeError: planted in ')


def test_a_changed_input_and_what_is_left_over(material: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(path: Path, *_: object) -> None:
        path.write_text('')
        (path.parents[1] / 'out/.a-abcdefgh.json').touch()
        raise SystemExit(2)

    monkeypatch.setattr('mmagg.datasets.coco_reader.read_truth', careless)
    found = outcome_of(material)
    assert sum('an input is changed' in fault and 'a.json' in fault for fault in found) == 2
    assert any('left over: out/.a-abcdefgh.json' in fault for fault in found)


def test_a_hang_is_tried_again_alone(material: Material, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mark = tmp_path / 'first'

    def slow_once(*args: object, **options: object) -> None:
        if not mark.exists():
            mark.touch()
            time.sleep(60)
        raise SystemExit(3)

    monkeypatch.setattr('mmagg.datasets.coco_reader.read_truth', slow_once)
    faults = outcome_of(material, limit=1.0)
    assert not any('hangs' in fault for fault in faults)


def test_a_seed_and_a_number_say_what_a_case_is(material: Material) -> None:
    content = material.documents['a.json']
    first, second, other = (
        json_edits.draw(cases.random.Random(seed), 'a.json', content) for seed in ('0 1', '0 1', '0 2')
    )
    assert first == second != other


@pytest.mark.parametrize('seed', range(20))
def test_an_edit_changes_its_file(seed: int, material: Material) -> None:
    chance = cases.random.Random(seed)
    file = material.folder / 'a.json'
    before = file.read_bytes()
    json_edits.apply(material.folder, [json_edits.draw(chance, 'a.json', COCO)])
    assert file.read_bytes() != before or json.loads(before) == json.loads(file.read_bytes())
    before = file.read_bytes()
    byte_edits.apply(material.folder, ['bytes', 'a.json', 'flip', seed, 1])
    assert file.read_bytes() != before


def test_all_entries_at_once(material: Material) -> None:
    json_edits.apply(material.folder, [['json', 'a.json', 'set', ['annotations', '*', 'bbox', '*'], 'NaN']])
    assert '"bbox": [NaN, NaN, NaN, NaN]' in (material.folder / 'a.json').read_text()


def test_a_case_as_a_file(tmp_path: Path) -> None:
    case = Case('annotations', LINE, (['json', 'a.json', 'delete', ['images'], ''],), code=2)
    (tmp_path / 'case.json').write_text(case.to_json())
    assert cases.read(tmp_path / 'case.json') == case


def test_an_image_gets_its_new_name_in_the_annotations_too(material: Material, tmp_path: Path) -> None:
    data = material.folder / 'data'
    for name in ('annotations', 'images'):
        (data / name).mkdir(parents=True)
    (data / 'annotations/a.json').write_text(json.dumps(COCO))
    (data / 'images/a.png').touch()
    case = Case('names', 'test --coco @data', (['renamed', 'data/images/a.png', 'b\udcff.png'],))
    cases.prepare(case, material, tmp_path / 'case')
    [file] = (tmp_path / 'case/in/data/images').iterdir()
    [image] = json.loads((tmp_path / 'case/in/data/annotations/a.json').read_text())['images']
    assert file.name == image['file_name'] == 'b\udcff.png'


def test_what_an_earlier_call_has_left_is_edited_and_lies_where_is_written(material: Material, tmp_path: Path) -> None:
    left = material.folder / 'left/run/note'
    left.parent.mkdir(parents=True)
    left.write_text('old')
    case = Case('runs', 'train --work-dir +run --coco @a.json', (['bytes', 'left/run/note', 'whole', 0, 'new'],))
    words = cases.prepare(case, material, tmp_path / 'case')
    assert words[2] == str(tmp_path / 'case/out/run')
    assert (tmp_path / 'case/out/run/note').read_text() == 'new'
    assert [path.name for path in (tmp_path / 'case/in').iterdir()] == ['a.json']
