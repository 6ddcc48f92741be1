"""JSON files, large ones announced; outputs whole or not at all."""

import json
import os
from pathlib import Path

import pytest

from mmagg.io import files
from mmagg.io.errors import InputError
from mmagg.io.files import read_json, require_file, write_json, written_whole


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


def test_a_checkpoint_that_is_not_there_names_those_beside_it(tmp_path: Path) -> None:
    missing = tmp_path / 'epoch_75.pth'
    with pytest.raises(InputError, match=r'epoch_75\.pth: no such file$'):
        require_file(missing, 'checkpoint')
    for age, name in enumerate(['epoch_3.pth', 'best_coco_segm_mAP_epoch_2.pth', 'epoch_1.pth']):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (100 - age, 100 - age))
    with pytest.raises(InputError, match=r'; there are best_coco_segm_mAP_epoch_2\.pth, epoch_3\.pth, epoch_1\.pth$'):
        require_file(missing, 'checkpoint')
    with pytest.raises(InputError, match=r'a\.json: no such file$'):
        require_file(tmp_path / 'a.json', 'annotations')
    (tmp_path / 'epoch_4.pth').touch()
    (tmp_path / 'epoch_5.pth').touch()
    with pytest.raises(InputError, match=r'epoch_3\.pth, …$'):
        require_file(missing, 'checkpoint')
