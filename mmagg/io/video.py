"""Frames of videos, read in a thread and written to a file that plays however the writing ends.

Shape shorthand: (H, W) size of the frames.
"""

import errno
import os
import queue
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmagg.io.errors import InputError
from mmagg.io.files import require_file
from mmagg.io.unfinished import kept_unfinished

SUFFIXES = {'.avi', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.mts', '.ts', '.webm', '.wmv'}
# The codecs of a file, by its suffix: the first one that OpenCV was built with. Its wheels have no encoder of H.264.
CODECS = dict.fromkeys(('.mp4', '.mov', '.mkv'), ('avc1', 'mp4v')) | {'.avi': ('XVID', 'MJPG')}
NAMES = {'avc1': 'H.264', 'mp4v': 'MPEG-4', 'XVID': 'MPEG-4', 'MJPG': 'Motion JPEG'}
QUIET = 'OPENCV_FFMPEG_LOGLEVEL', '-8'  # FFmpeg would write to stderr what is said here in a line
LOST = 250  # frames in a row that cannot be decoded, after which a video counts as ended
RATES = 0.5, 1000.0  # frames per second that are believed
UNSTEADY = 0.25  # of a frame's time, by which the times of a constant frame rate are not off
_opening = threading.Lock()


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame of a video.

    Attributes:
        index: its place in the video, from 0; broken frames have theirs, too.
        time: in seconds from the first frame; it grows from frame to frame.
        image: (H, W, 3) uint8 BGR, turned as the video says.
    """

    index: int
    time: float
    image: np.ndarray


class Video:
    """A video that can be read.

    Args:
        path: a file.

    Attributes:
        fps: frames per second, the mean where they vary.
        size: (height, width) of the frames in pixels, as they are seen: phones write how they were held.
        count: the frames that the file announces; None where it does not say. Containers other than MP4, MOV and AVI
            have an estimate.
        broken: places of frames that could not be decoded, so far.
        read: frames that were decoded or passed over, so far.
        varies: whether the time between frames is not always the same, so far.
        ended: whether all of it was read.

    Raises:
        InputError: there is no such file, or not a single frame can be read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        require_file(self.path, 'video')
        capture = self._open()
        try:
            first = next((image for _ in range(LOST) if (image := capture.read()[1]) is not None), None)
            if first is None:
                raise InputError(
                    f'{self.path}: no frame can be read; it is no video, or cut off, or damaged: does a player show it?'
                )
            self.size = first.shape[0], first.shape[1]
            rate = capture.get(cv2.CAP_PROP_FPS)
            self.fps = rate if RATES[0] <= rate <= RATES[1] else 25.0
            announced = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
            self.count = announced if announced > 0 else None
        finally:
            capture.release()
        self.broken: list[int] = []
        self.read, self.varies, self.ended = 0, False, False

    @property
    def missing(self) -> int:
        """Frames that are announced but do not come, once it has ended: the file is cut off, or was trimmed."""
        counted = self.path.suffix.lower() in ('.avi', '.m4v', '.mov', '.mp4')
        return max(0, (self.count or 0) - self.read - len(self.broken)) if self.ended and counted else 0

    def frames(self, *, every: int = 1, ahead: int = 8) -> Generator[Frame, None, None]:
        """Decode the frames in a thread, from the first one; close the generator, or let it end, to stop the thread.

        Args:
            every: only each so many-th frame, the first one included; the others are not converted to images.
            ahead: frames that are held ready, which bounds the memory.
        """
        ready: queue.Queue[Frame | Exception | None] = queue.Queue(ahead)
        stopped = threading.Event()

        def put(item: Frame | Exception | None) -> bool:
            while not stopped.is_set():
                try:
                    ready.put(item, timeout=0.1)
                    return True
                except queue.Full:
                    continue
            return False

        def decode() -> None:
            try:
                if all(map(put, self._decoded(every))):
                    put(None)
            except Exception as error:
                put(error)

        thread = threading.Thread(target=decode, name=f'frames of {self.path}', daemon=True)
        thread.start()
        try:
            while (item := ready.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            stopped.set()
            thread.join()

    def _decoded(self, every: int) -> Iterator[Frame]:
        capture, time, failed = self._open(), -1.0, list[int]()
        self.broken, self.read, self.varies = [], 0, False
        try:
            for index in count():
                if len(failed) == LOST or (self.count is not None and index >= self.count and failed):
                    break
                if not capture.grab():
                    failed.append(index)
                    continue
                image = None if index % every else capture.retrieve()[1]
                if image is None and index % every == 0:
                    failed.append(index)
                    continue
                before, time = time, self._time(capture, time, 1 + len(failed))
                steps = (time - before) * self.fps / (1 + len(failed))
                self.varies |= self.read > 0 and abs(steps - 1) > UNSTEADY
                self.broken += failed  # frames follow, so that it was not the end
                self.read += 1
                failed.clear()
                if image is not None:
                    yield Frame(index, time, image)
            self.ended = True
        finally:
            capture.release()

    def _time(self, capture: cv2.VideoCapture, before: float, steps: int) -> float:
        """The time of a frame so many steps after one; that of the frame rate where the file has none that grows."""
        if before < 0:
            self._start = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            return 0.0
        time = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000 - self._start
        return time if time > before else before + steps / self.fps

    def _open(self) -> cv2.VideoCapture:
        os.environ.setdefault(*QUIET)
        with _silent():
            return cv2.VideoCapture(_named(self.path), cv2.CAP_FFMPEG)


class VideoWriter:
    """Writes frames to a file.

    Args:
        path: a file, with a suffix of `CODECS`.
        fps: frames per second.
        size: (height, width) of the frames in pixels. Codecs want even numbers: an odd row or column at the end is
            left out.

    Attributes:
        codec: its name.
        count: frames so far.

    Raises:
        InputError: OpenCV has no codec for it.
    """

    def __init__(self, path: Path, *, fps: float, size: tuple[int, int]) -> None:
        os.environ.setdefault(*QUIET)
        self.path, self.count = path, 0
        for code in CODECS[path.suffix.lower()]:
            with _silent():
                self._writer = cv2.VideoWriter(
                    _named(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*code), fps, size[::-1]
                )
            if self._writer.isOpened():
                self.codec = NAMES[code]
                return
        height, width = size
        raise InputError(f'OpenCV cannot write {path.suffix} of {width} × {height} pixels: it has no encoder for that')

    def write(self, image: np.ndarray) -> None:
        """Add a frame, (H, W, 3) uint8 BGR."""
        self._writer.write(image)
        self.count += 1

    def close(self) -> None:
        """Write what a player needs.

        Raises:
            OSError: frames are missing in the file, of which OpenCV says nothing.
        """
        self._writer.release()
        with _silent():
            capture = cv2.VideoCapture(_named(self.path), cv2.CAP_FFMPEG)
        there = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
        capture.release()
        if there < self.count - 1:
            raise OSError(errno.EIO, f'only {there} of {self.count} frames could be written; is the disk full?')


@contextmanager
def video_written(path: Path, *, fps: float, size: tuple[int, int]) -> Iterator[VideoWriter]:
    """A `VideoWriter` for ``path``, which is there when the block ends; if by an error, with the frames so far."""
    with kept_unfinished(path, lambda temporary: VideoWriter(temporary, fps=fps, size=size)) as writer:
        yield writer


def check_video_file(path: Path, flag: str) -> None:
    """Refuse a file to be written whose suffix is none of `CODECS`; ``flag`` names it.

    Raises:
        InputError: the suffix, and those that there are.
    """
    if path.suffix.lower() not in CODECS:
        raise InputError(f'{flag} {path}: a video is written as {", ".join(CODECS)}; name it so')


def _named(path: Path) -> str:
    """A path that FFmpeg does not take for an address, as it would ``a:b.mp4``."""
    name = os.path.abspath(path)
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise InputError(f'{path}: OpenCV opens no video whose name is not UTF-8; rename it') from error
    return name


@contextmanager
def _silent() -> Iterator[None]:
    """OpenCV would write to stderr that a file is no video, and which codecs it does not have."""
    with _opening:  # the level is that of all threads
        logging: Any = getattr(cv2.utils, 'logging', cv2)  # OpenCV 5 has the level there, and no longer in cv2
        level = logging.getLogLevel()
        logging.setLogLevel(0)
        try:
            yield
        finally:
            logging.setLogLevel(level)
