"""Frames of videos, read in a thread, and files of them that play however the writing ends."""

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from video_files import FPS, H, W, damage, frame_number, turn, vary, write_video

from mmagg.io.errors import InputError
from mmagg.io.video import CODECS, Video, check_video_file, video_written


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / 'a:b.mp4')  # FFmpeg would take this for an address


@pytest.fixture(autouse=True)
def _no_threads_left() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith('frames of')]


def test_frames_come_in_order_with_their_times(video: Path) -> None:
    read = Video(video)
    assert (read.fps, read.size, read.count) == (FPS, (H, W), 30)
    frames = list(read.frames())
    assert [frame.index for frame in frames] == [frame_number(frame.image) for frame in frames] == list(range(30))
    assert [frame.time for frame in frames] == pytest.approx(np.arange(30) / FPS)
    assert (read.broken, read.missing, read.varies, read.read) == ([], 0, False, 30)


def test_each_so_many_th_frame(video: Path) -> None:
    read = Video(video)
    frames = list(read.frames(every=7))
    assert [frame_number(frame.image) for frame in frames] == [frame.index for frame in frames] == [0, 7, 14, 21, 28]
    assert read.read == 30


def test_so_many_frames_are_read_ahead_and_no_more(video: Path) -> None:
    read = Video(video)
    frames = read.frames(ahead=2)
    next(frames)
    for _ in range(50):
        threading.Event().wait(0.01)
    assert read.read <= 5  # one that was taken, two ready, one that waits for room
    frames.close()
    assert read.read < 30
    assert not read.ended


def test_an_error_of_the_thread_is_raised_where_frames_are_asked_for(video: Path, monkeypatch) -> None:
    def failing(*_: object) -> Iterator[None]:
        raise MemoryError
        yield

    read = Video(video)
    monkeypatch.setattr(read, '_decoded', failing)
    with pytest.raises(MemoryError):
        list(read.frames())


def test_broken_frames_are_left_out_and_known(tmp_path: Path, capfd) -> None:
    path = write_video(tmp_path / 'v.mp4', 60)
    damage(path)
    read = Video(path)
    frames = list(read.frames())
    assert 0 < len(read.broken) < 20
    assert len(frames) + len(read.broken) + read.missing == 60
    assert {frame.index for frame in frames}.isdisjoint(read.broken)
    assert frames[-1].index == frame_number(frames[-1].image) == 59
    assert frames[-1].time == pytest.approx(59 / FPS)
    assert capfd.readouterr().err == '', 'FFmpeg has nothing to say that is not said'


def test_a_file_that_is_cut_off(tmp_path: Path) -> None:
    path = write_video(tmp_path / 'v.avi', 60, codec='MJPG')
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    read = Video(path)
    frames = list(read.frames())
    assert 20 < len(frames) < 35
    assert read.missing == 60 - len(frames)
    assert read.broken == []


@pytest.mark.parametrize('name', ['v.mp4', 'noise.mp4', 'empty.mp4', 'text.mkv', 'absent.mp4', 'folder.mp4'])
def test_what_is_no_video_is_refused(name: str, tmp_path: Path, capfd) -> None:
    path = write_video(tmp_path / 'v.mp4')
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])  # the table of its frames was at the end
    (tmp_path / 'noise.mp4').write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / 'empty.mp4').touch()
    (tmp_path / 'text.mkv').write_text('no video')
    (tmp_path / 'folder.mp4').mkdir()
    with pytest.raises(InputError, match=name):
        Video(tmp_path / name)
    assert capfd.readouterr().err == ''


def test_a_phone_that_was_held_upright(tmp_path: Path) -> None:
    path = write_video(tmp_path / 'v.mp4')
    turn(path)
    read = Video(path)
    assert read.size == (W, H)
    assert next(read.frames()).image.shape == (W, H, 3)


def test_a_rate_that_varies(tmp_path: Path) -> None:
    path = write_video(tmp_path / 'v.mp4', 20)
    vary(path)
    read = Video(path)
    times = [frame.time for frame in read.frames()]
    assert read.varies
    assert times == pytest.approx([*np.arange(10) / FPS, *(10 + np.arange(10) / 2) / FPS])
    assert read.fps == pytest.approx(FPS / 0.75, rel=0.1)


@pytest.mark.parametrize('suffix', CODECS)
def test_what_is_written_can_be_read(suffix: str, tmp_path: Path, capfd) -> None:
    out = tmp_path / f'folder/out{suffix}'
    with video_written(out, fps=12.5, size=(H, W)) as writer:
        for frame in Video(write_video(tmp_path / 'v.mp4')).frames():
            writer.write(frame.image)
    read = Video(out)
    assert (read.fps, read.size, read.count) == (12.5, (H, W), 30)
    assert [frame_number(frame.image) for frame in read.frames()] == list(range(30))
    assert writer.codec in ('H.264', 'MPEG-4', 'Motion JPEG')
    assert capfd.readouterr().err == ''


def write_black(out: Path, frames: int, error: type[BaseException] | None = None) -> None:
    with video_written(out, fps=FPS, size=(H, W)) as writer:
        for _ in range(frames):
            writer.write(np.zeros((H, W, 3), np.uint8))
        if error is not None:
            raise error


@pytest.mark.parametrize('error', [KeyboardInterrupt, RuntimeError])
def test_what_was_written_before_an_error_plays(error: type[BaseException], tmp_path: Path) -> None:
    out = tmp_path / 'out.mp4'
    with pytest.raises(error):
        write_black(out, 7, error)
    assert len(list(Video(out).frames())) == 7
    assert [path.name for path in tmp_path.iterdir()] == ['out.mp4']


def test_nothing_is_left_where_an_error_comes_first(tmp_path: Path) -> None:
    out = tmp_path / 'out.mp4'
    out.write_text('an earlier one')
    with pytest.raises(RuntimeError):
        write_black(out, 0, RuntimeError)
    assert out.read_text() == 'an earlier one'
    assert [path.name for path in tmp_path.iterdir()] == ['out.mp4']


def test_a_full_disk_is_an_error(tmp_path: Path, monkeypatch) -> None:
    """OpenCV says nothing of frames that it cannot write."""

    class Full:
        def __init__(self, *_: object) -> None:
            pass

        def isOpened(self) -> bool:  # noqa: N802
            return True

        def write(self, image: np.ndarray) -> None:
            pass

        release = isOpened
        fourcc = staticmethod(cv2.VideoWriter.fourcc)

    monkeypatch.setattr('cv2.VideoWriter', Full)
    out = tmp_path / 'out.mp4'
    with pytest.raises(OSError, match='only 0 of 3 frames') as caught:
        write_black(out, 3)
    assert caught.value.filename == str(out)
    assert not out.exists()


def test_videos_of_opencv_5_whose_log_level_is_elsewhere(tmp_path: Path, monkeypatch) -> None:
    levels = [3]
    logging = SimpleNamespace(getLogLevel=lambda: levels[-1], setLogLevel=levels.append)
    monkeypatch.setattr(cv2.utils, 'logging', logging, raising=False)
    for name in ('getLogLevel', 'setLogLevel'):
        monkeypatch.delattr(cv2, name, raising=False)
    with video_written(tmp_path / 'v.mp4', fps=FPS, size=(H, W)) as writer:
        writer.write(np.zeros((H, W, 3), np.uint8))
    assert len(list(Video(tmp_path / 'v.mp4').frames())) == 1
    assert levels[:3] == [3, 0, 3]
    assert levels[-1] == 3


def test_other_suffixes_are_refused() -> None:
    check_video_file(Path('out.MP4'), '--out')
    with pytest.raises(InputError, match=r'--out out\.gif: a video is written as \.mp4, '):
        check_video_file(Path('out.gif'), '--out')
