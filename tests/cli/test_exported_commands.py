"""Commands with an exported model: demo, also where PyTorch is not installed, a video, and a test."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from colour_model import CLASSES, RECTANGLES, colour_model, scene
from hidden_packages import HIDE
from video_files import write_video

from mmagg.apis import test as evaluate
from mmagg.cli.main import main
from mmagg.io.errors import InputError

WITHOUT_TORCH = (
    HIDE
    + """
from mmagg.cli.main import main
code = main(sys.argv[1:])
assert not {*HIDDEN} & {*sys.modules}
sys.exit(code)
"""
)


@pytest.fixture(scope='module')
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return colour_model(tmp_path_factory.mktemp('exported') / 'colours.onnx')


@pytest.fixture(scope='module')
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose categories stand in another order than the model's classes; an image has no blue object."""
    folder = tmp_path_factory.mktemp('coco')
    (folder / 'annotations').mkdir()
    (folder / 'images/val').mkdir(parents=True)
    names = ['red', 'blue', 'green']
    images, annotations = [], []
    for number in (1, 2):
        picture = scene()
        if number == 2:
            picture[..., 0] = 0
        cv2.imwrite(str(folder / f'images/val/{number}.png'), picture)
        images.append({'id': number, 'file_name': f'{number}.png', 'height': 64, 'width': 64})
        for name, (rows, columns) in list(zip(CLASSES, RECTANGLES, strict=True))[number - 1 :]:
            x, y, w, h = columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start
            annotations.append(
                {
                    'id': len(annotations) + 1,
                    'image_id': number,
                    'category_id': 10 + names.index(name),
                    'bbox': [x, y, w, h],
                    'area': w * h,
                    'iscrowd': 0,
                    'segmentation': [[x, y, x + w, y, x + w, y + h, x, y + h]],
                }
            )
    categories = [{'id': 10 + i, 'name': name} for i, name in enumerate(names)]
    content = {'images': images, 'annotations': annotations, 'categories': categories}
    (folder / 'annotations/instances_val.json').write_text(json.dumps(content))
    return folder


def test_a_demo_without_pytorch(model: Path, coco: Path, root: Path, tmp_path: Path) -> None:
    out = tmp_path / 'out'
    command = [sys.executable, '-c', WITHOUT_TORCH, 'demo', coco / 'images/val', model, '--out-dir', out]
    command += ['--formats', 'csv,labelme', '--batch-size', 2, '--workers', 1]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 0, done.stderr
    line, cap = done.stdout.splitlines()
    assert line == f'5 instances in 2 images: {out}'
    assert cap.startswith('the cap of 3 detections an image was reached in 1 of 2 images; exporting it again with ')
    content = json.loads((out / 'predictions.json').read_text())
    assert [one['name'] for one in content['categories']] == [*CLASSES]
    assert len(content['annotations']) == 5
    assert (cv2.imread(str(out / '1.png')) != scene()).any()
    assert {path.name for path in out.iterdir()} == {'1.png', '2.png', 'csv', 'labelme', 'predictions.json'}


def test_a_video(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    video = write_video(tmp_path / 'v.mp4', 3)
    assert main(['demo', str(video), str(model), '--out', str(tmp_path / 'out.mp4'), '--score-thr', '0.1']) == 0
    assert ' instances in 3 frames: ' in capsys.readouterr().out


def test_scores(model: Path, coco: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Everything is found, by the names of classes, whatever their order is."""
    work_dir, out, shown = tmp_path / 'work', tmp_path / 'found.json', tmp_path / 'shown'
    arguments = ['test', model, '--coco', coco, '--work-dir', work_dir, '--out', out, '--show-dir', shown]
    assert main([*map(str, arguments)]) == 0
    said = capsys.readouterr().out
    assert '\ncoco/segm_mAP ' in said
    assert f'written to {work_dir / "metrics.json"}' in said
    metrics = json.loads((work_dir / 'metrics.json').read_text())
    assert metrics['coco/segm_mAP_50'] == metrics['coco/bbox_mAP_50'] == 1
    records = json.loads(out.read_text())
    assert sorted((one['image_id'], one['category_id']) for one in records) == [
        (1, 10),
        (1, 11),
        (1, 12),
        (2, 10),
        (2, 12),
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        'found.bbox.json',
        'found.json',
        'found.segm.json',
        'shown',
        'work',
    ]
    assert sorted(path.name for path in shown.iterdir()) == ['1.png', '2.png']
    tiled = evaluate(model, coco=coco, work_dir=work_dir, tile=64, skip_check=True)
    assert tiled == metrics


def test_objects_of_other_places_are_missed(model: Path, coco: Path, tmp_path: Path) -> None:
    """The scores are no constant: a model for half the resolution finds coarser masks."""
    coarse = colour_model(tmp_path / 'coarse.onnx', side=32)
    fine, rough = (evaluate(one, coco=coco, work_dir=tmp_path / one.stem) for one in (model, coarse))
    assert rough['coco/segm_mAP'] < fine['coco/segm_mAP']


@pytest.mark.parametrize(
    ('more', 'said'),
    [
        ({'checkpoint': 'a.pth'}, 'leave out the checkpoint a.pth'),
        ({'tta': True}, 'leave out --tta'),
        ({'compile': True}, 'leave out --compile'),
        ({'launcher': 'pytorch'}, 'leave out --launcher pytorch'),
        ({'cfg_options': {'a': 1}}, 'give --cfg-options a=1 to `mmagg export` instead'),
        ({'report': 'page'}, 'has no report: --out FILE.json'),
        ({'out': 'found.pkl'}, 'name a .json file'),
        ({'coco': None}, 'names no data: add --coco DIR'),
        ({'coco': 'nowhere'}, 'nowhere: no such folder'),
        ({'full_image': True}, 'add --tile N'),
    ],
)
def test_what_a_test_cannot_do_is_refused(model: Path, coco: Path, tmp_path: Path, more: dict, said: str) -> None:
    with pytest.raises(InputError) as caught:
        evaluate(model, **{'coco': coco, 'work_dir': tmp_path / 'work', **more})
    assert said in str(caught.value)
    assert not (tmp_path / 'work').exists()


def test_other_classes_are_refused(coco: Path, tmp_path: Path) -> None:
    other = colour_model(tmp_path / 'other.onnx', classes=('blue', 'green', 'rose'))
    with pytest.raises(InputError, match=r'only .*other\.onnx has rose; only .*instances_val\.json has red'):
        evaluate(other, coco=coco, work_dir=tmp_path / 'work')


def test_nothing_is_written_over_the_model(model: Path, coco: Path, tmp_path: Path) -> None:
    before = model.read_bytes()
    for arguments in (
        ['demo', coco / 'images/val', model, '--out-dir', model],
        ['test', model, '--coco', coco, '--show-dir', model],
        ['demo', coco / 'images/val', 'a.py', model, '--out-dir', tmp_path / 'out'],
    ):
        assert main([*map(str, arguments)]) == 2
    assert model.read_bytes() == before
    assert not any(tmp_path.iterdir())
