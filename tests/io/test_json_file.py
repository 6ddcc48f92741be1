"""JSON files, large ones announced."""

import json
from pathlib import Path

import pytest

from mmagg.io import json_file
from mmagg.io.files import read_json


def test_large_files_are_announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    path = tmp_path / 'annotations.json'
    path.write_text(json.dumps({'images': ['é'] * 10}), encoding='utf-8')
    assert read_json(path) == {'images': ['é'] * 10}
    assert capsys.readouterr() == ('', '')
    monkeypatch.setattr(json_file, 'LARGE', 10)
    assert read_json(str(path)) == {'images': ['é'] * 10}
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith(f'reading {path} (0 MB)')
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / 'none.json')
