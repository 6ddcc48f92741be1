"""JSON files, large ones announced; outputs whole or not at all."""

import json
from pathlib import Path

import pytest

from mmagg.io import files
from mmagg.io.files import read_json, write_json, written_whole


def test_large_files_are_announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    path = tmp_path / 'annotations.json'
    path.write_text(json.dumps({'images': ['é'] * 10}), encoding='utf-8')
    assert read_json(path) == {'images': ['é'] * 10}
    assert capsys.readouterr() == ('', '')
    monkeypatch.setattr(files, 'LARGE', 10)
    assert read_json(str(path)) == {'images': ['é'] * 10}
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith(f'reading {path} (0 MB)')
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / 'none.json')


def test_an_interrupted_write_leaves_the_old_file(tmp_path) -> None:
    path = tmp_path / 'deep/result.json'
    write_json([1], path)
    with pytest.raises(TypeError):
        write_json([object()], path)

    with pytest.raises(KeyboardInterrupt), written_whole(path) as temporary:  # noqa: PT012
        temporary.write_text('half')
        raise KeyboardInterrupt
    assert path.read_text() == '[1]'
    assert [item.name for item in path.parent.iterdir()] == ['result.json']
