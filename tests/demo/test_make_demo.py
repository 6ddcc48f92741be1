"""tools/make_demo.py as a user calls it: killed, continued, asked again, with other arguments."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from zipfile import ZipFile

import cv2
import pytest
import torch

from mmagg.apis.config import load_config
from mmagg.apis.inference import load_model
from mmagg.cli.main import COMMANDS, run
from mmagg.demo import steps
from mmagg.demo.journal import STEPS, Journal
from mmagg.demo.report import average_precision, command_path, duration, report
from mmagg.demo.steps import Trial
from mmagg.io.errors import InputError

SMALL = ('--images', '8', '--val-images', '3', '--size', '64')
IN_PROCESS = [
    f'{split}_dataloader.{option}'
    for split in ('train', 'val', 'test')
    for option in ('num_workers=0', 'persistent_workers=False')
]
OPTIONS = (
    '--cfg-options',
    *IN_PROCESS,
    'train_cfg.max_epochs=2',
    'train_cfg.val_interval=2',
    'default_hooks.logger.interval=1',
    'train_dataloader.batch_size=4',
    # An untrained model finds something, too.
    'model.test_cfg.score_thr=0.0',
    'model.test_cfg.filter_thr=0.0',
    'model.test_cfg.mask_thr=0.005',
    'model.test_cfg.nms_pre=20',
)
SOLO = 'configs/demo/solo_tiny_shapes.py'
DEADLINE = 120  # seconds


@pytest.fixture(scope='module')
def start(root: Path):
    """Starts the tool in its own process."""

    def start(*arguments: str) -> subprocess.Popen:
        command = [sys.executable, str(root / 'tools/make_demo.py'), *arguments]
        environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': '-1'}
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment)

    return start


@pytest.fixture(scope='module')
def demo(start, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A demo that was killed after its first checkpoint and then went on; its folder and what it printed."""
    out = tmp_path_factory.mktemp('demo') / 'out'
    arguments = ('--out', str(out), *SMALL, *OPTIONS)
    killed = start(*arguments)
    deadline = time.monotonic() + DEADLINE
    while not (out / 'train/epoch_1.pth').is_file():
        assert killed.poll() is None, killed.communicate()
        assert time.monotonic() < deadline, 'no checkpoint'
        time.sleep(0.005)  # the rest of the training is short
    killed.kill()
    killed.communicate()
    assert not (out / 'report.md').exists()
    process = start(*arguments)
    printed, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, errors
    return out, printed


def test_a_killed_demo_goes_on(demo):
    out, printed = demo
    assert 'shapes: ' not in printed
    assert 'going on from the last checkpoint' in printed
    assert 'train [1]' not in printed
    assert 'train [2][2/2]' in printed
    assert 'Config' not in printed
    rows = (out / 'curves.csv').read_text().splitlines()
    assert [row.split(',')[:2] for row in rows[1:] if ',train,' in row] == [[str(i), 'train'] for i in range(1, 5)]


def test_the_report_has_the_metrics_and_its_pictures(demo):
    out, printed = demo
    metrics = json.loads((out / 'test/metrics.json').read_text())
    mask_ap = average_precision(metrics, 'segm')
    assert mask_ap != '–'
    assert printed.splitlines()[-2:] == [f'report: {command_path(out / "report.md")}', f'mask AP: {mask_ap}']
    text = (out / 'report.md').read_text()
    row = next(line for line in text.splitlines() if line.startswith('| mask |'))
    assert row.split(' | ')[1] == mask_ap
    assert row.endswith(f'| {average_precision(metrics, "segm", "_l")} |')
    assert 'went on from a checkpoint' in text
    for picture in ('overlays.png', 'curves.png'):
        assert f']({picture})' in text
        assert cv2.imread(str(out / picture)) is not None
    assert not list(out.rglob('.*'))  # no temporary names stay behind


def test_nothing_is_said_of_what_was_not_made(demo):
    out, printed = demo
    text = (out / 'report.md').read_text()
    assert 'aggmask_tiny_shapes.py' in text
    for absent in ('solo_tiny', 'ompare', 'udget'):
        assert absent not in text
    assert not (out / 'compare').exists()
    # Untrained, the model is sure of nothing.
    assert 'no picture of what its masks are made of: it found nothing' in text
    assert 'representations.png' not in text
    assert not (out / 'representations.png').exists()
    assert printed.count('[6/6] representations: ') == 1


def test_the_commands_of_the_report_name_files_that_exist(demo):
    text = (demo[0] / 'report.md').read_text()
    commands = text.replace('```bash\n', '```').split('```')[1::2]
    words = [word for command in commands for word in command.split() if word.endswith(('.py', '.pth'))]
    assert len(words) > 8
    assert [word for word in words if not Path(word).is_file()] == []


def test_a_finished_demo_says_so(demo, capsys):
    out, printed = demo
    before = (out / 'report.md').stat().st_mtime_ns
    assert run(COMMANDS['make-demo'], ['--out', str(out), *SMALL, *OPTIONS]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith('done already')
    assert shown[1:] == printed.splitlines()[-2:]
    assert (out / 'report.md').stat().st_mtime_ns == before


@pytest.fixture
def _loading_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo decides for its whole process how checkpoints are read; undo it."""
    from mmengine.runner import CheckpointLoader

    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    monkeypatch.setenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '')


@pytest.mark.usefixtures('_loading_restored')
def test_another_config_stands_beside(demo, root, tmp_path, monkeypatch, capsys):
    """Asked for later, so that only that one is trained."""
    out, other = tmp_path / 'out', root / SOLO
    shutil.copytree(demo[0], out)
    weights = (out / 'train/epoch_2.pth').read_bytes()
    monkeypatch.setattr(steps, 'SCORE_THR', 0.0)  # so that something is found
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '-1')
    assert run(COMMANDS['make-demo'], ['--out', str(out), *SMALL, *OPTIONS, '--compare', str(other)]) == 0
    printed = capsys.readouterr().out
    assert '[3/8] train compared: ' in printed
    assert '] train: ' not in printed
    assert (out / 'train/epoch_2.pth').read_bytes() == weights

    text = (out / 'report.md').read_text()
    seconds = json.loads((out / 'demo.json').read_text())['seconds']
    rows = {}
    for config, folder, step in (
        (root / 'configs/demo/aggmask_tiny_shapes.py', out, 'train'),
        (other, out / 'compare', 'train compared'),
    ):
        metrics = json.loads((folder / 'test/metrics.json').read_text())
        names = ('segm_mAP', 'segm_mAP_50', 'segm_mAP_75', 'bbox_mAP')
        values = [f'{100 * metrics[f"coco/{name}"]:.1f}' for name in names]
        rows[step] = f'| `{command_path(config)}` | {" | ".join(values)} | 2 | {duration(seconds[step])} |'
        assert rows[step] in text
        assert list((folder / 'train').glob('*/vis_data/scalars.json'))
    trained = load_config(out / 'compare/train' / other.name)
    assert 'aggregator' not in trained.model.mask_head
    load_model(trained, out / 'compare/train/epoch_2.pth')  # refuses weights that do not fit
    assert printed.splitlines()[-1] == f'mask AP of {command_path(other)}: {rows["train compared"].split(" | ")[1]}'
    assert 'Both had the same budget' in text
    assert '](representations.png)' in text
    assert 'no picture' not in text
    assert cv2.imread(str(out / 'representations.png')) is not None


@pytest.mark.parametrize(
    'change, said',
    [
        ('model = dict(mask_head=dict(grids=(12,)))', 'Both had the same budget'),
        ('train_cfg = dict(max_epochs=15)', 'not the same: the configs differ in epochs.'),
        ('train_dataloader = dict(batch_size=9)', 'not the same: the configs differ in batch size.'),
        (
            "pipeline = [t for t in _base_.train_pipeline if t['type'] != 'RandomFlip']\n"
            'train_dataloader = dict(batch_size=9, dataset=dict(pipeline=pipeline))',
            'not the same: the configs differ in batch size, resizing or augmentation of the scenes.',
        ),
    ],
)
def test_the_same_budget_is_not_claimed_of_others(demo, root, tmp_path, change, said):
    out, other = demo[0], tmp_path / 'other.py'
    other.write_text(f"_base_ = '{root / SOLO}'\n{change}\n")
    metrics = {'coco/segm_mAP': 0.411, 'coco/segm_mAP_50': 0.622, 'coco/segm_mAP_75': 0.433, 'coco/bbox_mAP': 0.544}
    trials = []
    for config, measured in ((root / SOLO, {}), (other, metrics)):
        trials.append(Trial(config, {}, out / 'shapes', tmp_path / config.stem, 0))
        for name, content in (
            ('test/metrics.json', json.dumps(measured)),
            ('train/last_checkpoint', 'epoch_1.pth'),
        ):
            path = trials[-1].folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        ZipFile(trials[-1].folder / 'train/epoch_1.pth', 'w').close()
    arguments = {'images': 8, 'val_images': 3, 'size': 64, 'seed': 0, 'compare': 'another'}
    seconds = dict.fromkeys(STEPS, 0.0) | {'train': 61.0, 'train compared': 1.0}
    text = report(*trials, Journal(tmp_path / 'demo.json', arguments, seconds=seconds), unshown=None)
    assert text.count(' budget') == 1
    assert said in ' '.join(text.split())
    assert f'| `{command_path(root / SOLO)}` | – | – | – | – | 14 | 1 min 1 s |' in text
    epochs = 15 if 'epochs' in change else 14
    assert f'| `{command_path(other)}` | 41.1 | 62.2 | 43.3 | 54.4 | {epochs} | 1 s |' in text


def test_figures_of_other_heads_are_left_out(tmp_path):
    trial = Trial(tmp_path / 'config.py', {}, tmp_path / 'shapes', tmp_path, 0)
    why = steps.draw_representations(torch.nn.Conv2d(1, 1, 1), trial, tmp_path)
    assert why == 'its head is not a GridMaskHead'
    assert not list(tmp_path.iterdir())


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Stands in for the training: notes whether it was to resume, and is interrupted."""
    calls = []

    def train(trial: Trial, *, resume: bool) -> None:
        calls.append(resume)
        raise KeyboardInterrupt

    monkeypatch.setattr(Trial, 'train', train)
    return calls


def test_the_compared_training_goes_on(tmp_path, root, monkeypatch, capsys):
    out, calls = tmp_path / 'out', []

    def train(trial: Trial, *, resume: bool) -> None:
        calls.append((trial.config.name, trial.folder, resume))
        (trial.folder / 'train').mkdir(parents=True, exist_ok=True)
        ZipFile(trial.folder / 'train/epoch_1.pth', 'w').close()
        (trial.folder / 'train/last_checkpoint').write_text('epoch_1.pth')
        if trial.folder != out:
            raise KeyboardInterrupt

    monkeypatch.setattr(Trial, 'train', train)
    arguments = ['--out', str(out), *SMALL, '--compare', str(root / SOLO)]
    first = [('aggmask_tiny_shapes.py', out, False), ('solo_tiny_shapes.py', out / 'compare', False)]
    assert run(COMMANDS['make-demo'], arguments) == 130
    assert capsys.readouterr().err.endswith('interrupted; the same command goes on\n')
    assert calls == first
    assert run(COMMANDS['make-demo'], arguments) == 130
    assert calls == [*first, ('solo_tiny_shapes.py', out / 'compare', True)]
    # What is not compared any more is deleted, what is asked to be overwritten is.
    monkeypatch.setattr(Trial, 'evaluate', lambda trial: (_ for _ in ()).throw(KeyboardInterrupt))
    assert run(COMMANDS['make-demo'], arguments[:-2]) == 130
    assert len(calls) == 3
    assert not (out / 'compare').exists()
    assert run(COMMANDS['make-demo'], [*arguments[:-2], '--overwrite']) == 130
    assert calls[3:] == first[:1]


@pytest.mark.parametrize('change, keeps_shapes', [(['train_cfg.max_epochs=3'], True), (['--seed', '1'], False)])
def test_other_arguments_replace_the_demo(trained, tmp_path, capsys, change, keeps_shapes):
    out = tmp_path / 'out'
    arguments = ['--out', str(out), *SMALL]
    assert run(COMMANDS['make-demo'], arguments) == 130
    made = (out / 'shapes/annotations/instances_val.json').stat().st_ino
    (out / 'train').mkdir()
    ZipFile(out / 'train/epoch_1.pth', 'w').close()
    (out / 'train/last_checkpoint').write_text('epoch_1.pth')
    (out / 'report.md').touch()
    assert run(COMMANDS['make-demo'], arguments) == 130
    assert trained == [False, True]
    assert Journal.read(out / 'demo.json').done == ['shapes']

    assert run(COMMANDS['make-demo'], [*arguments, *(['--cfg-options'] if keeps_shapes else []), *change]) == 130
    assert trained == [False, True, False]
    assert not (out / 'train').exists()
    assert not (out / 'report.md').exists()
    assert ((out / 'shapes/annotations/instances_val.json').stat().st_ino == made) == keeps_shapes


def test_overwrite_starts_anew(trained, tmp_path, capsys):
    out = tmp_path / 'out'
    assert run(COMMANDS['make-demo'], ['--out', str(out), *SMALL]) == 130
    (out / 'train').mkdir()
    assert run(COMMANDS['make-demo'], ['--out', str(out), *SMALL, '--overwrite']) == 130
    assert not (out / 'train').exists()


def test_what_is_not_of_a_demo_is_not_touched(tmp_path, capsys):
    mine = tmp_path / 'train' / 'weights.pth'
    mine.parent.mkdir()
    mine.touch()
    assert run(COMMANDS['make-demo'], ['--out', str(tmp_path), *SMALL]) == 2
    assert f'error: {tmp_path} holds train, but not from a demo' in capsys.readouterr().err
    assert mine.exists()
    (tmp_path / 'demo.json').write_text('[]')
    assert run(COMMANDS['make-demo'], ['--out', str(tmp_path), *SMALL, '--overwrite']) == 2
    assert 'not the journal of a demo' in capsys.readouterr().err
    assert mine.exists()


@pytest.mark.parametrize('arguments', [['--images', '0'], ['--size', '8'], ['--seed', '-1'], ['--images', 'x']])
def test_bad_arguments_leave_nothing(tmp_path, capsys, arguments):
    with pytest.raises(SystemExit) as stopped:
        run(COMMANDS['make-demo'], ['--out', str(tmp_path / 'out'), *arguments])
    assert stopped.value.code == 2
    assert f'argument {arguments[0]}: ' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_bad_config_leaves_nothing(tmp_path, capsys):
    assert run(COMMANDS['make-demo'], ['--out', str(tmp_path / 'out'), '--compare', str(tmp_path / 'no.py')]) == 2
    assert 'no.py: no such file' in capsys.readouterr().err
    assert run(COMMANDS['make-demo'], ['--out', str(tmp_path / 'out'), '--cfg-options', 'train_cfg.max_epoch=1']) == 2
    assert 'did you mean max_epochs' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_a_training_without_a_checkpoint_is_said(tmp_path):
    trial = Trial(tmp_path / 'config.py', {}, tmp_path / 'shapes', tmp_path, 0)
    assert not trial.started
    with pytest.raises(InputError, match='train: training has left no checkpoint'):
        trial.evaluate()


def test_figures_as_the_report_writes_them():
    metrics = {'coco/segm_mAP': 0.4215, 'coco/segm_mAP_l': -1.0}
    assert average_precision(metrics, 'segm') == '42.1'
    assert average_precision(metrics, 'segm', '_l') == '–'
    assert average_precision(metrics, 'bbox') == '–'
    assert duration(59.4) == '59 s'
    assert duration(184.6) == '3 min 5 s'
