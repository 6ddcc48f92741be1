"""Tables of a video's objects, written frame by frame: CSV, or JSON with masks."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

from mmagg.apis.result import Result
from mmagg.apis.tracking import NO_TRACK
from mmagg.io.errors import InputError
from mmagg.io.video import Frame, Video
from mmagg.rle.codes import rle_area

COLUMNS = 'frame', 'time', 'track', 'class', 'score', 'x1', 'y1', 'x2', 'y2', 'area'


class TrackTable:
    """A CSV file with a row for each object of each frame.

    Frames count from 0, times are seconds from the first frame, boxes and areas are in pixels. The track is empty where
    an object has none.

    Attributes:
        count: frames so far.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open('w', newline='', encoding='utf-8', errors='backslashreplace')
        self._writer = csv.writer(self._file)
        self._writer.writerow(COLUMNS)
        self.count = 0

    def write(self, frame: Frame, result: Result) -> None:
        """Add a frame's objects."""
        for one in objects(frame, result):
            box = one.pop('box')
            one.pop('segmentation')
            self._writer.writerow([{**one, **dict(zip(COLUMNS[5:9], box, strict=True))}[name] for name in COLUMNS])
        self.count += 1

    def close(self) -> None:
        """End the file."""
        self._file.close()


class TrackRecords:
    """The same as JSON: ``{"video": …, "fps": …, "size": [H, W], "classes": […], "objects": […]}``.

    An object has its box as ``[x1, y1, x2, y2]`` and its mask as ``segmentation``, compressed RLE; its track is null
    where it has none. Each stands in a line of its own.
    """

    def __init__(self, path: Path, video: Video, classes: Sequence[str]) -> None:
        about = {'video': video.path.name, 'fps': video.fps, 'size': list(video.size), 'classes': list(classes)}
        self._file = path.open('w', encoding='utf-8')
        self._file.write(json.dumps(about)[:-1] + ', "objects": [')
        self._separator = '\n'
        self.count = 0

    def write(self, frame: Frame, result: Result) -> None:
        """Add a frame's objects."""
        for one in objects(frame, result):
            self._file.write(self._separator + json.dumps(one))
            self._separator = ',\n'
        self.count += 1

    def close(self) -> None:
        """End the file."""
        if not self._file.closed:
            with self._file:
                self._file.write(']}\n')


SUFFIXES = '.csv', '.json'


def track_file(path: Path, video: Video, classes: Sequence[str]) -> TrackTable | TrackRecords:
    """The table of a path with one of the `SUFFIXES`."""
    return TrackRecords(path, video, classes) if path.suffix.lower() == '.json' else TrackTable(path)


def check_track_file(path: Path, flag: str) -> None:
    """Refuse a table of another suffix; ``flag`` names it."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f'{flag} {path}: tracks are written as {" or ".join(SUFFIXES)}; name it so')


def objects(frame: Frame, result: Result) -> list[dict]:
    """A frame's objects as records."""
    tracks = [NO_TRACK] * len(result) if result.tracks is None else result.tracks.tolist()
    columns = zip(result.names, tracks, result.scores.tolist(), result.boxes.tolist(), result.rles, strict=True)
    return [
        {
            'frame': frame.index,
            'time': round(frame.time, 3),
            'track': None if track == NO_TRACK else track,
            'class': name,
            'score': round(score, 4),
            'box': [round(number, 1) for number in box],
            'area': round((box[2] - box[0]) * (box[3] - box[1])) if rle is None else int(rle_area(rle)),
            'segmentation': rle,
        }
        for name, track, score, box, rle in columns
    ]
