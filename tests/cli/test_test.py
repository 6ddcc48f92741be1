"""tools/test.py as a user calls it."""

import json
import pickle
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
    original = cv2.imread(str(shapes_folder / 'images/val/000000.png'))
    assert (cv2.imread(str(show / '000000.png')) != original).any()
    assert not list(tmp_path.rglob('.*'))  # no temporary names stay behind


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
