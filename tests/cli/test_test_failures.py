"""tools/test.py where something fails: what is refused before the test, and what is left of a test that fails late."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from mmdet.evaluation import CocoMetric
from mmengine.runner import Runner

from mmagg.cli.main import COMMANDS, run
from mmagg.evaluation.results import CocoResults
from mmagg.io.errors import InputError

SKIP = '--skip-check'


@pytest.fixture
def tested(tiny_config: Path, trained: Path, shapes_folder: Path, tmp_path: Path) -> Callable[..., int]:
    """Runs test.py on the trained model, measured by mmagg unless by `CocoMetric`."""
    ours = tmp_path / 'ours.py'
    ours.write_text(
        f'_base_ = {str(tiny_config)!r}\n'
        "test_evaluator = dict(_delete_=True, type='COCOInstanceMetric', ann_file='', metric=['bbox', 'segm'])\n"
    )

    def call(*more: object, config: Path = ours, data: Path = shapes_folder) -> int:
        arguments = [config, trained / 'iter_2.pth', '--coco', data, '--work-dir', tmp_path / 'run', *more]
        return run(COMMANDS['test'], [str(argument) for argument in arguments])

    return call


@pytest.fixture
def changed(shapes_folder: Path, tmp_path: Path) -> Callable[..., Path]:
    """The folder with other validation annotations, by a function of their content."""

    def change(edit: Callable[[dict], object]) -> Path:
        folder = tmp_path / 'data'
        (folder / 'annotations').mkdir(parents=True)
        (folder / 'images').symlink_to(shapes_folder / 'images')
        for split in ('train', 'val'):
            content = json.loads((shapes_folder / f'annotations/instances_{split}.json').read_text())
            if split == 'val':
                edit(content)
            (folder / f'annotations/instances_{split}.json').write_text(json.dumps(content))
        return folder

    return change


@pytest.fixture
def never(monkeypatch) -> None:
    """No test may begin."""
    call_hook = Runner.call_hook

    def called(runner: Runner, name: str, **options: object) -> None:
        if name == 'before_test':
            pytest.fail('it began')
        call_hook(runner, name, **options)

    monkeypatch.setattr(Runner, 'call_hook', called)


def test_predictions_are_there_when_the_scores_fail(
    tested, tiny_config: Path, annotations: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    def fail(error: Exception) -> None:
        def compute_metrics(*_: object) -> dict:
            raise error

        monkeypatch.setattr(CocoMetric, 'compute_metrics', compute_metrics)

    fail(ValueError('no such thing'))
    out = tmp_path / 'results.json'
    assert tested('--out', out, config=tiny_config) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f'error: scores failed: ValueError: no such thing; the predictions are in {out}; '
        f'`mmagg analyse-groups {annotations} {out}` scores them'
    )
    assert json.loads(out.read_text())
    assert run(COMMANDS['analyse-groups'], [str(annotations), str(out)]) == 0
    assert 'AP50' in capsys.readouterr().out
    fail(RuntimeError('of the program'))
    out = tmp_path / 'results.pkl'
    with pytest.raises(RuntimeError):
        tested('--out', out, config=tiny_config)
    assert f'the predictions are in {out}' in capsys.readouterr().out
    assert out.stat().st_size


def test_an_interrupted_test_leaves_no_half_of_a_file(tested, tmp_path: Path, capsys, monkeypatch) -> None:
    process = CocoResults.process

    def interrupted(metric: CocoResults, *batch: object) -> None:
        if metric.results:
            raise KeyboardInterrupt
        process(metric, *batch)

    monkeypatch.setattr(CocoResults, 'process', interrupted)
    out = tmp_path / 'results.json'
    assert tested('--out', out, '--cfg-options', 'test_dataloader.batch_size=1') == 130
    said = capsys.readouterr()
    assert said.err.splitlines()[-1] == 'interrupted'
    assert f'its predictions are not written to {out}' in said.out
    assert not list(tmp_path.glob('*results*'))


def test_scores_are_printed_and_written_before_the_report(tested, tmp_path: Path, capsys, monkeypatch) -> None:
    def write_report(*_: object, **__: object) -> None:
        raise InputError('the page failed')

    monkeypatch.setattr('mmagg.apis.report.write_report', write_report)
    assert tested('--report', tmp_path / 'report') == 2
    said = capsys.readouterr()
    assert said.err.splitlines()[-1] == 'error: the page failed'
    assert 'coco/segm_mAP ' in said.out
    assert 'report.html' not in said.out
    assert 'coco/segm_mAP' in json.loads((tmp_path / 'run/metrics.json').read_text())
    assert json.loads((tmp_path / 'report/results.json').read_text())


@pytest.mark.parametrize(
    'edit, more, message',
    [
        (lambda content: content.pop('annotations'), ['--report', 'report'], 'it has no list "annotations"'),
        (lambda content: content['annotations'][0].update(segmentation=[]), ['--report', 'r', SKIP], 'segmentation'),
        (lambda content: content['annotations'][0].update(segmentation=[]), [SKIP], 'no segmentation, which segm AP'),
        (lambda content: None, ['--out', 'folder.json'], 'is a folder; name a file'),
        (lambda content: None, ['--report', '.'], '--report report.html: is a folder; name a file'),
        (lambda content: None, ['--out', 'a.json', '--show-dir', 'a.json'], 'a folder by --show-dir a.json; name anot'),
        (lambda content: None, ['--out', 'a.json', '--report', 'a.json/b'], 'a folder by --report a.json/b; name anot'),
    ],
    ids=['no annotations', 'no mask for the report', 'no mask', 'a folder', 'a page', 'pictures', 'a report'],
)
def test_what_cannot_be_scored_is_refused_before_the_test(
    never, tested, changed, tmp_path: Path, capsys, monkeypatch, edit: Callable, more: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'folder.json').mkdir()
    (tmp_path / 'report.html').mkdir()
    assert tested(*more, data=changed(edit)) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_predictions_without_annotations(tested, changed, tmp_path: Path, capsys) -> None:
    assert tested('--out', tmp_path / 'out.json', data=changed(lambda content: content.pop('annotations'))) == 0
    assert json.loads((tmp_path / 'out.json').read_text())
    assert 'has no annotations: there is nothing to score' in capsys.readouterr().out


def test_a_part_of_the_images(tested, tiny_config: Path, changed, tmp_path: Path, capsys) -> None:
    part = ['--cfg-options', 'test_dataloader.dataset.indices=-1', '--report', tmp_path / 'report']
    assert tested(*part) == 0
    said = capsys.readouterr().out
    assert 'scored on 1 of the 2 images' in said
    assert 'the cap of 10 detections an image was reached in 1 of 1 images' in said
    assert 'Only 1 of the 2 annotated images were tested' in (tmp_path / 'report/report.html').read_text()
    scores = json.loads((tmp_path / 'run/metrics.json').read_text())

    def keep_the_last(content: dict) -> None:
        content['images'] = content['images'][1:]
        content['annotations'] = [
            one for one in content['annotations'] if one['image_id'] == content['images'][0]['id']
        ]

    assert tested(data=changed(keep_the_last)) == 0
    alone = json.loads((tmp_path / 'run/metrics.json').read_text())
    assert {k: v for k, v in scores.items() if k.startswith('coco')} == {
        k: v for k, v in alone.items() if k.startswith('coco')
    }
    assert 'scored on' not in capsys.readouterr().out
    assert tested(*part[:2], config=tiny_config) == 0
    assert '1 of 2 images are tested; CocoMetric takes all objects of the others for missed' in capsys.readouterr().out
