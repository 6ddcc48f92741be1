"""tools/browse_dataset.py as a user calls it."""

import json
import shutil
from pathlib import Path

import cv2
import pytest

from mmagg.cli import browse as command
from mmagg.cli.main import run

KEEP_ALL = 'train_dataloader.dataset.filter_cfg.filter_empty_gt=False'


def browse(*arguments: object) -> int:
    return run(command, [str(argument) for argument in arguments])


def pictures(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((out / 'pictures').iterdir())}


def test_images_are_drawn(tiny_config: Path, shapes_folder: Path, tmp_path: Path) -> None:
    common = tiny_config, '--coco', shapes_folder, '--out', tmp_path
    assert browse(*common, '--number', 3) == 0
    first = pictures(tmp_path)
    assert len(first) == 3
    assert first.keys() < {f'{path.stem}.jpg' for path in (shapes_folder / 'images/train').iterdir()}
    assert cv2.imread(str(tmp_path / 'sheet_1.jpg')).std() > 20
    assert not (tmp_path / 'sheet_2.jpg').exists()


def test_draws_and_stages_of_one_image(tiny_config: Path, shapes_folder: Path, tmp_path: Path) -> None:
    name = sorted((shapes_folder / 'images/train').iterdir())[1].name
    common = tiny_config, '--coco', shapes_folder, '--image', name, '--out'
    assert browse(*common, tmp_path / 'draws', '--repeat', 2) == 0
    assert list(pictures(tmp_path / 'draws')) == [f'{Path(name).stem}_{i}.jpg' for i in range(3)]
    assert browse(*common, tmp_path / 'stages', '--stages') == 0
    assert len(pictures(tmp_path / 'stages')) == 3  # LoadAnnotations, Resize, RandomFlip


def test_what_cannot_be_shown_is_named(
    tiny_config: Path, shapes_folder: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    broken = tmp_path / 'broken'
    shutil.copytree(shapes_folder, broken)
    missing, empty, *_ = sorted((broken / 'images/train').iterdir())
    missing.unlink()
    empty.write_bytes(b'')
    htc = root / 'configs/a2fpn/htc_r50_a2fpn_20e_coco.py'
    for arguments, message in (
        ((tiny_config, '--coco', broken, '--image', missing.name), f'{missing.name}: cannot be read'),
        ((tiny_config, '--coco', broken, '--image', empty.name), f'{empty.name}: cannot be read'),
        ((tiny_config, '--coco', broken, '--image', 'none.png'), '--image: no image none.png'),
        ((tiny_config, '--coco', tmp_path / 'nowhere'), 'nowhere: no such folder'),
        ((htc, '--coco', broken), 'semantic maps'),
    ):
        assert browse(*arguments, '--out', tmp_path / 'out') == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith('error: ')
        assert message in error
    assert not (tmp_path / 'out').exists()


def test_an_image_that_cannot_be_read_is_skipped(
    tiny_config: Path, shapes_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    data = Path(shutil.copytree(shapes_folder, tmp_path / 'data'))
    first, empty, *others = sorted((data / 'images/train').iterdir())
    empty.write_bytes(b'')
    chosen = first.name, empty.name, others[0].name
    for row in ([], ['--repeat', 1]):
        arguments = tiny_config, '--coco', data, '--image', *chosen, '--out', tmp_path / 'out', *row
        assert browse(*arguments) == 1
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error: ')]
        assert len(said) == 1
        assert said[0].startswith(f'error: {empty}: cannot be read')
        assert said[0].endswith('; skipped')
    assert {name[:6] for name in pictures(tmp_path / 'out')} == {path.stem[:6] for path in (first, others[0])}


def test_pictures_lie_below_their_folder(tiny_config: Path, shapes_folder: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(shapes_folder, tmp_path / 'data'))
    (data / 'images/pool').mkdir()
    path = data / 'annotations/instances_train.json'
    content = json.loads(path.read_text())
    first, second, *_ = content['images']
    for image, name in ((first, '../pool/a.png'), (second, 'a.b.png')):
        (data / 'images/train' / image['file_name']).rename(data / 'images/train' / name)
        image['file_name'] = name
    path.write_text(json.dumps(content | {'images': [first, second]}))
    before, out = {path: path.read_bytes() for path in data.rglob('*.*')}, data / 'images/out'
    assert browse(tiny_config, '--coco', data, '--out', out, '--cfg-options', KEEP_ALL) == 0
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob('*.*')) == [
        'pictures/pool/a.jpg',
        'pictures/train/a.b.jpg',
        'sheet_1.jpg',
    ]
    assert {path: path.read_bytes() for path in before} == before
    assert browse(tiny_config, '--coco', data, '--out', data / 'images/pool', '--cfg-options', KEEP_ALL) == 2
