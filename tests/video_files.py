"""Small videos for tests, and what goes wrong with them."""

import os
import struct
from pathlib import Path

import cv2
import numpy as np

from mmagg.io.video import QUIET

H, W, FPS = 96, 160, 25.0
os.environ.setdefault(*QUIET)  # before FFmpeg is used for the first time in this process


def write_video(path: Path, frames: int = 30, *, fps: float = FPS, codec: str = 'mp4v') -> Path:
    """Frames in which a white square moves by two pixels over noise; the first frame's number is `frame_number`'s."""
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), fps, (W, H))
    noise = np.random.default_rng(0).integers(0, 60, (H, W, 3)).astype(np.uint8)
    for number in range(frames):
        image = noise.copy()
        image[40:56, 2 * number : 2 * number + 16] = 255
        writer.write(image)
    writer.release()
    return path


def frame_number(image: np.ndarray) -> int:
    """Which frame of `write_video` an image is."""
    columns = np.flatnonzero(image[44:52].mean(axis=(0, 2)) > 150)
    return round((columns[0] + columns[-1] - 15) / 4)


def damage(path: Path, *, share: float = 0.05) -> None:
    """Overwrite so much of a file in its middle."""
    content = bytearray(path.read_bytes())
    start, length = len(content) // 2, int(share * len(content))
    content[start : start + length] = np.random.default_rng(1).integers(0, 255, length).astype(np.uint8).tobytes()
    path.write_bytes(content)


def turn(path: Path) -> None:
    """Let an MP4 say that it is to be shown turned by 90 degrees, as phones do."""
    content = bytearray(path.read_bytes())
    start = content.find(b'tkhd') + 44
    content[start : start + 36] = struct.pack('>9i', 0, 1 << 16, 0, -(1 << 16), 0, 0, H << 16, 0, 1 << 30)
    path.write_bytes(content)


def vary(path: Path) -> None:
    """Let the second half of an MP4's frames last half as long."""
    content = bytearray(path.read_bytes())
    start = content.find(b'stts')
    number, length = struct.unpack('>2I', content[start + 12 : start + 20])
    table = struct.pack('>5I', 2, number // 2, length, number - number // 2, length // 2)
    content[start + 8 : start + 20] = table
    for box in (b'stts', b'stbl', b'minf', b'mdia', b'trak', b'moov'):
        at = content.find(box) - 4
        content[at : at + 4] = struct.pack('>I', struct.unpack('>I', content[at : at + 4])[0] + 8)
    path.write_bytes(content)
