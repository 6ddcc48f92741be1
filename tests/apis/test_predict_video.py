"""A video's frames go through a segmenter in batches; what it finds is drawn, numbered and written."""

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from video_files import FPS, H, W, write_video

from mmagg.apis.result import Result
from mmagg.apis.track_files import COLUMNS, track_file
from mmagg.apis.tracking import NO_TRACK, Tracker
from mmagg.apis.video import drawn, predicted
from mmagg.io.video import Frame, Video
from mmagg.rle.codes import masks_to_rle

CLASSES = 'disc', 'square'


class KnowsObjects:
    """A segmenter that knows where the objects are: a disc and a square that pass each other.

    Args:
        unseen: calls, by the frame's number, for which it does not find the disc.
    """

    def __init__(self, unseen: Iterable[int] = ()) -> None:
        self.unseen, self.asked, self.batches = set(unseen), 0, list[int]()

    def __call__(
        self, images: Iterable[np.ndarray], *, score_thr: float, stream: bool, batch_size: int
    ) -> Iterator[Result]:
        assert stream
        batch: list[np.ndarray] = []
        for image in images:
            batch.append(image)
            if len(batch) == batch_size:
                yield from self.results(batch)
                batch = []
        yield from self.results(batch)

    def results(self, images: list[np.ndarray]) -> list[Result]:
        self.batches.append(len(images))
        return [self.result(image) for image in images]

    def result(self, image: np.ndarray) -> Result:
        number, self.asked = self.asked, self.asked + 1
        masks = np.zeros((2, H, W), np.uint8)
        cv2.circle(masks[0], (20 + 4 * number, 40), 14, 1, -1)
        cv2.rectangle(masks[1], (125 - 4 * number, 46), (149 - 4 * number, 70), 1, -1)
        rles = masks_to_rle(masks.astype(bool))
        boxes = np.array(
            [[*place, place[0] + 25, place[1] + 25] for place in ((8 + 4 * number, 28), (125 - 4 * number, 46))]
        )
        scores, labels = np.array([0.9, 0.6]), np.array([0, 1])
        found = Result((H, W), CLASSES, boxes.astype(np.float32), scores, labels, tuple(rles), pixels=image)
        return found[1:] if number in self.unseen else found


def frames(number: int = 25) -> Iterator[Frame]:
    image = np.full((H, W, 3), 90, np.uint8)
    return (Frame(index, index / FPS, image) for index in range(number))


def test_frames_meet_their_own_results_in_batches() -> None:
    segmenter = KnowsObjects(unseen=[3])
    found = list(predicted(frames(10), segmenter, score_thr=0.3, batch_size=4))
    assert [frame.index for frame, _ in found] == list(range(10))
    assert [len(result) for _, result in found] == [2, 2, 2, 1, 2, 2, 2, 2, 2, 2]
    assert segmenter.batches == [4, 4, 2]
    assert all(result.tracks is None for _, result in found)


def test_no_more_than_a_batch_is_held() -> None:
    taken = 0

    def counted() -> Iterator[Frame]:
        nonlocal taken
        for frame in frames():
            taken += 1
            yield frame

    found = predicted(counted(), KnowsObjects(), score_thr=0.3, batch_size=3)
    next(found)
    assert taken == 3


def test_tracks_stay_through_a_crossing_and_a_gap() -> None:
    pytest.importorskip('trackers', reason='tracking is not installed')
    tracker = Tracker(fps=FPS, score_thr=0.3)
    found = [one for _, one in predicted(frames(), KnowsObjects([7, 14]), tracker, score_thr=0.3, batch_size=4)]
    assert len(found) == 25
    numbers = [dict(zip(one.names, one.tracks.tolist(), strict=True)) for one in found]
    assert numbers == [{'square': 2} if i in (7, 14) else {'disc': 1, 'square': 2} for i in range(25)]


def test_a_track_keeps_its_colour_and_shows_its_number() -> None:
    image = np.full((H, W, 3), 90, np.uint8)
    one = KnowsObjects().result(image)
    first, moved = (Result(**{**vars(one), 'tracks': np.array(tracks)}) for tracks in ([3, NO_TRACK], [3, 4]))
    place = 34, 14  # (y, x) within the disc, below no label
    assert (drawn(image, first)[place] == drawn(image, moved[::-1])[place]).all()
    assert (drawn(image, first)[place] != drawn(image, one)[place]).any(), 'without tracks it has that of its class'
    assert (
        drawn(image, first)[65, 137] == drawn(image, Result(**{**vars(one), 'tracks': np.array([9, -1])}))[65, 137]
    ).all()


def test_tables_of_tracks(tmp_path: Path) -> None:
    video = Video(write_video(tmp_path / 'v.mp4', 5))
    result = KnowsObjects().result(np.zeros((H, W, 3), np.uint8))
    result = Result(**{**vars(result), 'tracks': np.array([3, NO_TRACK])})
    for name in ('t.csv', 't.json'):
        table = track_file(tmp_path / name, video, CLASSES)
        for index in (0, 4):
            table.write(Frame(index, index / FPS, result.image), result)
        table.close()
        assert table.count == 2
    rows = list(csv.DictReader((tmp_path / 't.csv').open(newline='')))
    assert tuple(rows[0]) == COLUMNS
    assert [row['frame'] for row in rows] == ['0', '0', '4', '4']
    assert (rows[2]['time'], rows[2]['track'], rows[3]['track'], rows[3]['class']) == ('0.16', '3', '', 'square')
    content = json.loads((tmp_path / 't.json').read_text())
    assert (content['video'], content['fps'], content['size']) == ('v.mp4', FPS, [H, W])
    disc = content['objects'][2]
    assert {name: disc[name] for name in ('frame', 'track', 'class', 'score')} == dict(
        frame=4, track=3, **{'class': 'disc'}, score=0.9
    )
    assert disc['segmentation'] == result.rles[0]
    assert disc['area'] == int(rows[2]['area']) == result.masks()[0].sum()
    assert content['objects'][1]['track'] is None


def test_a_table_of_nothing_is_whole(tmp_path: Path) -> None:
    video = Video(write_video(tmp_path / 'v.mp4', 2))
    for name in ('t.csv', 't.json'):
        track_file(tmp_path / name, video, CLASSES).close()
    assert json.loads((tmp_path / 't.json').read_text())['objects'] == []
    assert (tmp_path / 't.csv').read_text().strip() == ','.join(COLUMNS)
