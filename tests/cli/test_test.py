"""tools/test.py as a user calls it."""

import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import cv2
import pytest
import torch
from pycocotools.coco import COCO

from mmagg.apis.checkpoint import load_checkpoint
from mmagg.cli.main import COMMANDS, run


class Malicious:
    """Creates a file when unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return open, (str(self.target), 'w')


@pytest.fixture
def tested(tiny_config: Path, trained: Path, shapes_folder: Path, tmp_path: Path):
    """Runs test.py on the trained model; more arguments and another checkpoint are the caller's."""

    def call(*more: object, checkpoint: Path = trained / 'iter_2.pth') -> int:
        arguments = [tiny_config, checkpoint, '--coco', shapes_folder, '--work-dir', tmp_path / 'run', *more]
        return run(COMMANDS['test'], [str(argument) for argument in arguments])

    return call


def test_writes_metrics_coco_results_and_pictures(tested, shapes_folder: Path, tmp_path: Path, capsys) -> None:
    out, show = tmp_path / 'out/results.json', tmp_path / 'show'
    assert tested('--out', out, '--show-dir', show, '--show-score-thr', 0) == 0
    metrics = json.loads((tmp_path / 'run/metrics.json').read_text())
    assert 'coco/segm_mAP' in metrics
    assert 'coco/segm_mAP ' in capsys.readouterr().out
    records = json.loads(out.read_text())
    assert {tuple(record) for record in records} == {('image_id', 'category_id', 'bbox', 'score', 'segmentation')}
    assert {record['image_id'] for record in records} == {1, 2}
    truth = COCO(str(shapes_folder / 'annotations/instances_val.json'))
    assert len(truth.loadRes(str(out)).anns) == len(records)
    for part, key in (('segm', 'segmentation'), ('bbox', 'bbox')):
        apart = json.loads(out.with_name(f'results.{part}.json').read_text())
        assert apart == [{k: record[k] for k in ('image_id', 'category_id', key, 'score')} for record in records]
    original = cv2.imread(str(shapes_folder / 'images/val/000000.png'))
    assert (cv2.imread(str(show / '000000.png')) != original).any()
    assert not list(tmp_path.rglob('.*'))  # no temporary names stay behind


@pytest.fixture
def unannotated(shapes_folder: Path, tmp_path: Path) -> list[object]:
    """Arguments for images without annotations, as those of COCO's test-dev."""
    folder = shutil.copytree(shapes_folder, tmp_path / 'data')
    content = json.loads((folder / 'annotations/instances_val.json').read_text())
    del content['annotations']
    (folder / 'annotations/image_info_test-dev2017.json').write_text(json.dumps(content))
    (folder / 'images/val').rename(folder / 'test2017')
    options = 'ann_file=annotations/image_info_test-dev2017.json', 'data_prefix.img=test2017/'
    (folder / 'images/val').mkdir()
    return ['--coco', folder, '--cfg-options', *(f'test_dataloader.dataset.{option}' for option in options)]


def test_images_without_annotations_lead_to_files_for_cocos_server(tested, unannotated, tmp_path, capsys) -> None:
    out = tmp_path / 'results.json'
    assert tested('--out', out, *unannotated) == 0
    captured = capsys.readouterr()
    assert 'image_info_test-dev2017.json has no annotations: nothing is scored' in captured.err
    assert not (tmp_path / 'run/metrics.json').exists(), 'those of other images stay as they are'
    assert 'no metrics' not in captured.out
    records = json.loads(out.read_text())
    assert len(records) > 0
    for iou_type, key in (('segm', 'segmentation'), ('bbox', 'bbox')):
        archive = tmp_path / iou_type / 'detections_test-dev2017_tiny_results.zip'
        assert run(COMMANDS['pack-results'], [str(out), str(archive), '--iou-type', iou_type]) == 0
        with zipfile.ZipFile(archive) as content:
            assert content.namelist() == ['detections_test-dev2017_tiny_results.json']
            packed = json.loads(content.read('detections_test-dev2017_tiny_results.json'))
        assert packed == [{k: record[k] for k in ('image_id', 'category_id', key, 'score')} for record in records]
        assert packed == json.loads(out.with_suffix(f'.{iou_type}.json').read_text())


def test_images_without_annotations_need_a_place_for_what_is_found(tested, unannotated, tmp_path, capsys) -> None:
    assert tested(*unannotated) == 2
    assert 'there is nothing to score; add --out FILE.json or --show-dir DIR' in capsys.readouterr().err
    assert tested('--report', tmp_path / 'report', '--out', tmp_path / 'r.json', *unannotated) == 2
    assert 'has no annotations to report on; leave it out' in capsys.readouterr().err


@pytest.mark.parametrize(
    'name, content, message',
    [
        ('results.zip', '[]', 'the server wants detections_SET_ALG_results.zip'),
        ('detections_test-dev2017_x_results.json', '[]', 'the server wants detections_SET_ALG_results.zip'),
        ('detections_test-dev2017_x_results.zip', '{}', 'is no COCO result file'),
        ('detections_test-dev2017_x_results.zip', '[{"image_id": 1}]', 'detection 0 has no "category_id"'),
        (
            'detections_test-dev2017_x_results.zip',
            '[{"image_id": 1, "category_id": 1, "score": 1, "bbox": [0, 0, 1, 1]}]',
            'detection 0 has no "segmentation"',
        ),
    ],
)
def test_what_cannot_be_packed(tmp_path: Path, capsys, name: str, content: str, message: str) -> None:
    (tmp_path / 'results.json').write_text(content)
    assert run(COMMANDS['pack-results'], [str(tmp_path / 'results.json'), str(tmp_path / 'new' / name)]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'new').exists()


def test_pickled_results(tested, tmp_path: Path) -> None:
    assert tested('--out', tmp_path / 'results.pkl') == 0
    samples = pickle.loads((tmp_path / 'results.pkl').read_bytes())
    assert [sample['img_id'] for sample in samples] == [1, 2]
    predictions = samples[0]['pred_instances']
    assert len(predictions['masks']) == len(predictions['labels'])
    assert predictions['masks'][0]['size'] == [64, 64]


def test_a_checkpoint_with_code_is_refused(
    tested, run, tiny_config: Path, trained: Path, shapes_folder: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    content = load_checkpoint(trained / 'iter_2.pth')
    checkpoint = tmp_path / 'malicious.pth'
    torch.save({**content, 'extra': Malicious(tmp_path / 'executed')}, checkpoint)
    assert tested(checkpoint=checkpoint) == 2
    assert not (tmp_path / 'executed').exists()
    error = capsys.readouterr().err.splitlines()[-1]
    assert '--trust-checkpoint' in error
    assert 'open' in error
    arguments = (tiny_config, checkpoint, '--coco', shapes_folder, '--work-dir', tmp_path / 'run')
    monkeypatch.delenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD')  # set by the first call
    assert run('test.py', *arguments, '--trust-checkpoint').returncode == 0
    assert (tmp_path / 'executed').exists()


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda state: state.pop('mask_head.conv_cls.weight'), '1 missing (mask_head.conv_cls.weight)'),
        (lambda state: state.update(surplus=torch.zeros(1)), '1 unknown to the model (surplus)'),
        (
            lambda state: state.update({'mask_head.conv_cls.bias': torch.zeros(3)}),
            'mask_head.conv_cls.bias is (3,) there and (5,) here',
        ),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(tested, trained: Path, tmp_path: Path, capsys, change, message):
    content = load_checkpoint(trained / 'iter_2.pth')
    change(content['state_dict'])
    torch.save(content, tmp_path / 'other.pth')
    assert tested('--out', tmp_path / 'out.json', checkpoint=tmp_path / 'other.pth') == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'out.json').exists()


def test_another_number_of_classes_is_named(tiny_config: Path, trained: Path, tmp_path: Path, capsys) -> None:
    image = tmp_path / 'image.png'
    cv2.imwrite(str(image), torch.zeros(8, 8, 3, dtype=torch.uint8).numpy())
    arguments = [image, tiny_config, trained / 'iter_2.pth', '--out-dir', tmp_path / 'out']
    assert run(COMMANDS['demo'], [str(argument) for argument in arguments]) == 2
    assert 'trained with 5 classes, the model has 80' in capsys.readouterr().err


@pytest.mark.parametrize('content', [b'', b'no checkpoint', None])
def test_what_is_no_checkpoint(tested, tmp_path: Path, capsys, content: bytes | None) -> None:
    path = tmp_path / 'broken.pth'
    if content is None:
        torch.save([1, 2], path)
    else:
        path.write_bytes(content)
    assert tested(checkpoint=path) == 2
    assert f'error: checkpoint {path}: ' in capsys.readouterr().err


@pytest.fixture
def data(shapes_folder: Path, tmp_path: Path) -> Path:
    """A COCO folder that a test may change."""
    return Path(shutil.copytree(shapes_folder, tmp_path / 'data'))


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob('*') if path.is_file()}


def test_a_file_of_metrics_is_no_place_for_predictions(tested, tmp_path: Path, capsys) -> None:
    assert tested('--out', tmp_path / 'run/metrics.json') == 2
    assert 'the metrics are written there' in capsys.readouterr().err


@pytest.mark.parametrize('absolute', [False, True])
def test_pictures_stay_below_their_folder(tested, data: Path, tmp_path: Path, absolute: bool) -> None:
    pool = data / 'images/pool'
    for place, name in enumerate(('000000.png', '000001.png')):
        (pool / str(place)).mkdir(parents=True)
        (data / 'images/val' / name).rename(pool / str(place) / 'a.png')  # equal names
    path = data / 'annotations/instances_val.json'
    content = json.loads(path.read_text())
    for place, image in enumerate(content['images']):
        image['file_name'] = str(pool / str(place) / 'a.png') if absolute else f'../pool/{place}/a.png'
    path.write_text(json.dumps(content))
    before, show = contents(data), data / 'images/pictures'
    assert tested('--coco', data, '--show-dir', show, '--show-score-thr', 0) == 0
    pictures = contents(show)
    assert sorted(path.relative_to(show).as_posix() for path in pictures) == ['0/a.png', '1/a.png']
    assert contents(data) == before | pictures
    assert tested('--coco', data, '--show-dir', pool) == 2
    assert contents(data) == before | pictures


def test_names_that_are_not_utf8(tested, data: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b'b\xff.png')
    try:
        (data / 'images/val/000000.png').rename(data / 'images/val' / name)
    except OSError:
        pytest.skip('this file system has names in UTF-8 alone')
    path = data / 'annotations/instances_val.json'
    path.write_text(path.read_text().replace('000000.png', json.dumps(name)[1:-1]))
    show, report = tmp_path / 'show', tmp_path / 'report'
    assert tested('--coco', data, '--show-dir', show, '--report', report, '--show-score-thr', 0) == 0
    assert sorted(os.listdir(show)) == ['000001.png', name]
    assert 'b\\udcff.png' in (report / 'report.html').read_text('utf-8')


def test_out_needs_a_known_suffix(tested, capsys) -> None:
    assert tested('--out', 'results.txt') == 2
    assert 'must end in .json or .pkl' in capsys.readouterr().err


def test_an_average_of_weights_is_tested_as_it_was_saved(tested, tiny_config, trained, shapes_folder, tmp_path) -> None:
    assert tested() == 0
    plain = json.loads((tmp_path / 'run/metrics.json').read_text())
    config = tmp_path / 'ema.py'
    config.write_text(f"_base_ = {str(tiny_config)!r}\ncustom_hooks = [dict(type='EMAHook')]\n")
    arguments = [config, trained / 'iter_2.pth', '--coco', shapes_folder, '--work-dir', tmp_path / 'ema']
    assert run(COMMANDS['test'], [str(argument) for argument in arguments]) == 0
    averaged = json.loads((tmp_path / 'ema/metrics.json').read_text())
    assert averaged == pytest.approx(plain, abs=1e-6)


@pytest.mark.parametrize('flag, name', [('--out', 'file/results.json'), ('--show-dir', 'file'), ('--report', 'file/x')])
def test_what_cannot_be_written_is_known_before_testing(tested, tmp_path: Path, capsys, flag: str, name: str) -> None:
    (tmp_path / 'file').write_text('')
    assert tested(flag, tmp_path / name, checkpoint=tmp_path / 'none.pth') == 2
    assert 'is a file; name a folder' in capsys.readouterr().err
