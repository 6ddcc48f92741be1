"""Objects of a video's frames get the tracks of ByteTrack; what needs that package is skipped without it."""

import sys
import warnings

import numpy as np
import pytest

from mmagg.apis.tracking import NO_TRACK, Tracker, begun, iou
from mmagg.io.errors import InputError

FPS, SIDE = 25.0, 20.0


def numbered(frames: list[list[tuple[float, float, float]]], *, times: list[float] | None = None) -> list[list[int]]:
    """The tracks of each frame's objects, which are squares at (x, y) with a score."""
    pytest.importorskip('trackers', reason='tracking is not installed')
    tracker, found = Tracker(fps=FPS, score_thr=0.3), []
    for index, objects in enumerate(frames):
        places = np.array([one[:2] for one in objects]).reshape(-1, 2)
        scores = np.array([one[2] for one in objects])
        time = index / FPS if times is None else times[index]
        tracks, before = tracker(np.hstack([places, places + SIDE]), scores, time)
        found += [before.tolist()] if index else []
    return [*found, tracks.tolist()]


def test_two_objects_cross() -> None:
    """They come from the left and the right, and pass each other at a distance at which their boxes overlap."""
    frames = [[(5.0 * step, 0.0, 0.9), (100 - 5.0 * step, 12.0, 0.8)] for step in range(21)]
    assert numbered(frames) == [[1, 2]] * 21
    assert numbered([frame[:: 1 - 2 * (step % 2)] for step, frame in enumerate(frames)]) == [
        [1, 2][:: 1 - 2 * (step % 2)] for step in range(21)
    ], 'whatever the order in which a frame has them'


@pytest.mark.parametrize('gap', [1, 10])
def test_an_object_that_is_not_found_for_some_frames(gap: int) -> None:
    frames = [[(3.0 * step, 0.0, 0.9), (0.0, 200.0, 0.9)] for step in range(30)]
    for step in range(10, 10 + gap):
        del frames[step][0]
    assert [tracks[0] for step, tracks in enumerate(numbered(frames)) if not 10 <= step < 10 + gap] == [1] * (30 - gap)


def test_frames_that_are_missing_in_the_video_are_time_that_passes() -> None:
    steps = [*range(10), *range(16, 30)]
    frames = [[(6.0 * step, 0.0, 0.9)] for step in steps]
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert numbered(frames, times=[step / FPS for step in steps]) == [[1]] * 24


def test_a_track_goes_on_with_objects_that_are_less_certain() -> None:
    frames = [[(2.0 * step, 0.0, 0.9 if step < 5 else 0.15), (300.0, 0.0, 0.15)] for step in range(12)]
    assert numbered(frames) == [[1, NO_TRACK]] * 12


def test_a_false_alarm_of_one_frame_has_no_track() -> None:
    frames = [[(2.0 * step, 0.0, 0.9)] for step in range(8)]
    frames[4].append((200.0, 200.0, 0.9))
    assert numbered(frames) == [*[[1]] * 4, [1, NO_TRACK], *[[1]] * 3]


def test_a_track_begins_with_an_object_that_is_sure() -> None:
    """Not with a less certain one that lies over it, and by chance nearer to where it is next."""
    frames = [[(0.0, 0.0, 0.9), (4.0, 0.0, 0.15)], [(5.0, 0.0, 0.9)], [(10.0, 0.0, 0.9)]]
    assert numbered(frames) == [[1, NO_TRACK], [1], [1]]


def test_an_object_that_comes_back_too_late_is_another_one() -> None:
    still = [[(0.0, 0.0, 0.9)]] * 5
    assert numbered([*still, *[[]] * 40, *still]) == [*[[1]] * 5, *[[]] * 40, *[[2]] * 5]


def test_no_objects() -> None:
    assert numbered([[], [], []]) == [[], [], []]


def test_tracks_begin_where_they_overlap_most() -> None:
    before = np.array([[0.0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]])
    boxes = np.array([[1.0, 0, 11, 10], [90, 90, 99, 99]])
    assert begun(before, np.array([NO_TRACK, NO_TRACK, 4]), boxes, np.array([5, 6])).tolist() == [NO_TRACK, 5, 4]
    assert begun(before, np.array([NO_TRACK, 3, 4]), boxes, np.array([5, 6])).tolist() == [5, 3, 4]
    assert begun(before[:0], np.zeros(0, int), boxes, np.array([5, 6])).tolist() == []
    assert iou(before, before[0]) == pytest.approx([1, 9 / 11, 0])


def test_a_missing_package_is_answered_with_its_line(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, 'trackers', None)
    with pytest.raises(InputError, match=r"pip install 'mmagg\[track\]'") as caught:
        Tracker(fps=FPS, score_thr=0.3)
    assert '\n' not in str(caught.value)
