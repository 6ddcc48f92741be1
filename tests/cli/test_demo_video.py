"""``mmagg demo`` with a video, as a user calls it."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from video_files import FPS, H, W, damage, write_video

from mmagg.cli.main import COMMANDS, run
from mmagg.io.signals import SIGNALS
from mmagg.io.video import Video


@pytest.fixture
def demo(trained: Path, tmp_path: Path):
    """Runs demo.py on a video with the trained model and every prediction shown."""

    def call(video: Path, *more: object) -> int:
        arguments = [video, trained / 'tiny.py', trained / 'iter_2.pth', '--score-thr', 0, *more]
        return run(COMMANDS['demo'], [str(argument) for argument in arguments])

    return call


def test_a_video(demo, tmp_path: Path, capsys) -> None:
    video, out = write_video(tmp_path / 'v.mp4', 7), tmp_path / 'new/out.mp4'
    assert demo(video, '--out', out, '--batch-size', 3) == 0
    written, before = list(Video(out).frames()), list(Video(video).frames())
    assert (Video(out).fps, Video(out).size, len(written)) == (FPS, (H, W), 7)
    assert all(np.abs(new.image.astype(int) - old.image).max() > 60 for new, old in zip(written, before, strict=True))
    said = capsys.readouterr()
    assert ' instances in 7 frames: ' in said.out
    assert said.out.strip().endswith(('(MPEG-4, 25 fps)', '(H.264, 25 fps)'))
    assert os.listdir(out.parent) == ['out.mp4']


def test_each_second_frame_takes_as_long(demo, tmp_path: Path) -> None:
    assert demo(write_video(tmp_path / 'v.mp4', 7), '--out', tmp_path / 'out.mkv', '--every', 2) == 0
    assert (Video(tmp_path / 'out.mkv').fps, Video(tmp_path / 'out.mkv').count) == (FPS / 2, 4)


def test_broken_frames_are_said(demo, tmp_path: Path, capsys) -> None:
    video = write_video(tmp_path / 'v.mp4', 60)
    damage(video)
    assert demo(video, '--out', tmp_path / 'out.mp4', '--every', 10) == 1
    said = capsys.readouterr()
    line = next(line for line in said.err.splitlines() if 'broken frame' in line)
    assert line.startswith(f'{video}: ')
    assert 'skipped, the first one is frame ' in line
    assert 0 < Video(tmp_path / 'out.mp4').count <= 6


@pytest.mark.skipif(find_spec('trackers') is None, reason='tracking is not installed')
def test_tracks(demo, tmp_path: Path, capsys) -> None:
    video, out = write_video(tmp_path / 'v.mp4', 5), tmp_path / 'out.mp4'
    assert demo(video, '--out', out, '--track') == 0
    rows = list(csv.DictReader((tmp_path / 'out.csv').open(newline='')))
    assert {row['frame'] for row in rows} == {'0', '1', '2', '3', '4'}
    assert ' tracks: ' in capsys.readouterr().out
    assert demo(video, '--out', out, '--tracks', tmp_path / 't.json') == 0
    assert len(json.loads((tmp_path / 't.json').read_text())['objects']) == len(rows)


@pytest.mark.skipif(find_spec('trackers') is not None, reason='tracking is installed')
def test_tracking_without_its_package_is_a_line(demo, tmp_path: Path, capsys) -> None:
    assert demo(write_video(tmp_path / 'v.mp4', 2), '--out', tmp_path / 'out.mp4', '--track') == 2
    error = capsys.readouterr().err
    assert error.startswith("error: tracking needs the package trackers, which is not installed: pip install 'mmagg[")
    assert error.count('\n') == 1
    assert not (tmp_path / 'out.mp4').exists()


def test_what_cannot_work_is_said_before_the_model_is_loaded(tmp_path: Path, capsys) -> None:
    video = write_video(tmp_path / 'v.mp4', 2)
    (tmp_path / 'broken.mp4').write_bytes(video.read_bytes()[:900])
    (tmp_path / 'photo.jpg').touch()
    (tmp_path / 'model.py').write_text('model = dict()')
    os.symlink(video, tmp_path / 'link.mp4')
    before = video.read_bytes()
    for words, line in (
        ('v.mp4', 'v.mp4: --out FILE is missing'),
        ('v.mp4 --out out.gif', 'out.gif: a video is written as .mp4, '),
        ('v.mp4 --out v.mp4', '--out v.mp4: is an input, which would be overwritten'),
        ('v.mp4 --out link.mp4', '--out link.mp4: leads to v.mp4, which would be overwritten'),
        ('v.mp4 --out out.mp4 --tracks t.txt', '--tracks t.txt: tracks are written as .csv or .json'),
        ('v.mp4 --out out.mp4 --out-dir d', '--out-dir is for images'),
        ('v.mp4 --out out.mp4 --formats coco', '--formats is for images'),
        ('v.mp4 photo.jpg c.py m.pth --out out.mp4', 'v.mp4: a video is done alone'),
        ('photo.jpg --out out.mp4', '--out is for a video'),
        ('photo.jpg --out-dir d --track', '--track is for a video'),
        ('photo.jpg', '--out-dir DIR is missing'),
        ('broken.mp4 --out out.mp4', 'broken.mp4: no frame can be read'),
        ('absent.mp4 --out out.mp4', 'video absent.mp4: no such file'),
    ):
        first, *more = words.split()
        model = [] if 'c.py' in more else ['model.py', 'absent.pth']
        here = Path.cwd()
        os.chdir(tmp_path)
        try:
            assert run(COMMANDS['demo'], [first, *model, *more]) == 2, words
        finally:
            os.chdir(here)
        error = capsys.readouterr().err
        assert error.startswith(f'error: {line}') or line in error, words
        assert error.count('\n') == 1, words
    assert video.read_bytes() == before


@pytest.fixture
def _handlers_restored() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (*SIGNALS, signal.SIGCHLD, signal.SIGALRM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures('_handlers_restored')
@pytest.mark.parametrize('number, code', [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_leaves_a_video_that_plays(number, code, demo, tmp_path: Path, capsys, monkeypatch) -> None:
    from mmagg.apis import video as module

    shown = module.drawn

    def stopping(image: np.ndarray, result: object) -> np.ndarray:
        stopping.frames += 1
        if stopping.frames == 5:
            os.kill(os.getpid(), number)
        return shown(image, result)

    stopping.frames = 0
    monkeypatch.setattr(module, 'drawn', stopping)
    out = tmp_path / 'new/out.mp4'
    assert demo(write_video(tmp_path / 'v.mp4', 9), '--out', out, '--batch-size', 2) == code
    assert len(list(Video(out).frames())) == 4
    assert capsys.readouterr().err.splitlines()[-1].endswith(f'; stopped after 4 of 9 frames: {out} has these')
    assert os.listdir(out.parent) == ['out.mp4']


@pytest.mark.slow
def test_ctrl_c_as_typed(trained: Path, root: Path, tmp_path: Path) -> None:
    video, out = write_video(tmp_path / 'v.mp4', 60), tmp_path / 'out.mp4'
    damage(video, share=0.02)
    words = ['demo', video, trained / 'tiny.py', trained / 'iter_2.pth', '--out', out, '--batch-size', '2']
    process = subprocess.Popen(
        [sys.executable, '-m', 'mmagg', *map(str, words)], cwd=root, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 300
    partial = tmp_path / '.out.mmagg-partial-1.mp4'
    while not (begun := partial.exists() and partial.stat().st_size > 2000) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=120)[1]
    assert begun, 'this machine is too busy, or nothing is written'
    assert 'mpeg4 @' not in error, 'FFmpeg says nothing'
    if process.returncode == 130:
        assert 'interrupted; stopped after ' in error
    assert len(list(Video(out).frames())) > 0
    assert not partial.exists()
