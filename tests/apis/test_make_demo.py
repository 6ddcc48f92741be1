"""tools/make_demo.py as a user calls it: killed, continued, asked again, with other arguments."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest

from mmagg.apis.demo_report import average_precision, command_path, duration
from mmagg.apis.errors import run_tool
from mmagg.apis.make_demo import Journal

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
    while not (out / 'train/last_checkpoint').is_file():
        assert killed.poll() is None, killed.communicate()
        assert time.monotonic() < deadline, 'no checkpoint'
        time.sleep(0.02)
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


def test_the_commands_of_the_report_name_files_that_exist(demo):
    text = (demo[0] / 'report.md').read_text()
    commands = text.replace('```bash\n', '```').split('```')[1::2]
    words = [word for command in commands for word in command.split() if word.endswith(('.py', '.pth'))]
    assert len(words) > 8
    assert [word for word in words if not Path(word).is_file()] == []


def test_a_finished_demo_says_so(demo, capsys):
    out, printed = demo
    before = (out / 'report.md').stat().st_mtime_ns
    assert run_tool('make_demo', ['--out', str(out), *SMALL, *OPTIONS]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith('done already')
    assert shown[1:] == printed.splitlines()[-2:]
    assert (out / 'report.md').stat().st_mtime_ns == before


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Stands in for the training: notes whether it was to resume, and is interrupted."""
    calls = []

    def train(args, *, resume: bool) -> None:
        calls.append(resume)
        raise KeyboardInterrupt

    monkeypatch.setattr('mmagg.apis.make_demo._train', train)
    return calls


@pytest.mark.parametrize('change, keeps_shapes', [(['train_cfg.max_epochs=3'], True), (['--seed', '1'], False)])
def test_other_arguments_replace_the_demo(trained, tmp_path, capsys, change, keeps_shapes):
    out = tmp_path / 'out'
    arguments = ['--out', str(out), *SMALL]
    assert run_tool('make_demo', arguments) == 130
    made = (out / 'shapes/annotations/instances_val.json').stat().st_ino
    (out / 'train').mkdir()
    (out / 'train/epoch_1.pth').touch()
    (out / 'train/last_checkpoint').write_text('epoch_1.pth')
    (out / 'report.md').touch()
    assert run_tool('make_demo', arguments) == 130
    assert trained == [False, True]
    assert Journal.read(out / 'demo.json').done == ['shapes']

    assert run_tool('make_demo', [*arguments, *(['--cfg-options'] if keeps_shapes else []), *change]) == 130
    assert trained == [False, True, False]
    assert not (out / 'train').exists()
    assert not (out / 'report.md').exists()
    assert ((out / 'shapes/annotations/instances_val.json').stat().st_ino == made) == keeps_shapes


def test_overwrite_starts_anew(trained, tmp_path, capsys):
    out = tmp_path / 'out'
    assert run_tool('make_demo', ['--out', str(out), *SMALL]) == 130
    (out / 'train').mkdir()
    assert run_tool('make_demo', ['--out', str(out), *SMALL, '--overwrite']) == 130
    assert not (out / 'train').exists()


def test_what_is_not_of_a_demo_is_not_touched(tmp_path, capsys):
    mine = tmp_path / 'train' / 'weights.pth'
    mine.parent.mkdir()
    mine.touch()
    assert run_tool('make_demo', ['--out', str(tmp_path), *SMALL]) == 2
    assert f'error: {tmp_path} holds train, but not from a demo' in capsys.readouterr().err
    assert mine.exists()
    (tmp_path / 'demo.json').write_text('[]')
    assert run_tool('make_demo', ['--out', str(tmp_path), *SMALL, '--overwrite']) == 2
    assert 'not the journal of a demo' in capsys.readouterr().err
    assert mine.exists()


@pytest.mark.parametrize('arguments', [['--images', '0'], ['--size', '8'], ['--seed', '-1'], ['--images', 'x']])
def test_bad_arguments_leave_nothing(tmp_path, capsys, arguments):
    with pytest.raises(SystemExit) as stopped:
        run_tool('make_demo', ['--out', str(tmp_path / 'out'), *arguments])
    assert stopped.value.code == 2
    assert f'argument {arguments[0]}: ' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_bad_config_leaves_nothing(tmp_path, capsys):
    assert run_tool('make_demo', ['--out', str(tmp_path / 'out'), '--cfg-options', 'train_cfg.max_epoch=1']) == 2
    assert 'did you mean max_epochs' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_figures_as_the_report_writes_them():
    metrics = {'coco/segm_mAP': 0.4215, 'coco/segm_mAP_l': -1.0}
    assert average_precision(metrics, 'segm') == '42.1'
    assert average_precision(metrics, 'segm', '_l') == '–'
    assert average_precision(metrics, 'bbox') == '–'
    assert duration(59.4) == '59 s'
    assert duration(184.6) == '3 min 5 s'
