"""A training that was killed before its last curves gets them when it is resumed, and no other."""

import json
import os
from pathlib import Path

import pytest

from mmagg.engine.learning_curves import draw_outdated


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    folder = tmp_path / '20250101_000000/vis_data'
    folder.mkdir(parents=True)
    lines = [{'loss': 1.0 / step, 'iter': step, 'step': step} for step in (1, 2)]
    (folder / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)))
    return tmp_path


def test_curves_are_drawn_where_they_are_missing_or_older_than_the_log(work_dir):
    draw_outdated(work_dir)
    files = {name: (work_dir / name).read_bytes() for name in ('curves.png', 'curves.csv')}
    for name in files:
        (work_dir / name).unlink()
        draw_outdated(work_dir)
        assert (work_dir / name).read_bytes() == files[name]
        (work_dir / name).write_bytes(b'old')
        draw_outdated(work_dir)
        assert (work_dir / name).read_bytes() == b'old'
        os.utime(work_dir / name, (0, 0))
        draw_outdated(work_dir)
        assert (work_dir / name).read_bytes() == files[name]


def test_a_folder_without_a_log_stays_as_it_is(tmp_path):
    draw_outdated(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('text', ['{"loss": 1}', '{"loss": "x", "step": 1}', '[1]\n', '\0'])
def test_a_damaged_log_does_not_undo_the_training(text, work_dir, capsys):
    (work_dir / '20250101_000000/vis_data/scalars.json').write_text(f'{text}\n{text}')
    draw_outdated(work_dir)
    assert 'no learning curves: ' in capsys.readouterr().out
