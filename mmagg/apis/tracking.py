"""Tracks: which objects of a video's frames are the same one (ByteTrack, https://arxiv.org/abs/2110.06864).

ByteTrack joins boxes by where they are expected. First those that are sure; then what is left of the tracks takes the
less certain ones, as those of an object that is half hidden.

Shape shorthand: N objects of a frame.
"""

from importlib import import_module
from typing import Any

import numpy as np

from mmagg.io.errors import InputError

PACKAGE = "tracking needs the package trackers, which is not installed: pip install 'mmagg[track]'"
NO_TRACK = -1
UNSURE = 1 / 3  # of the score from which a track begins: with less an object takes part in none (0.1 of 0.3)


class Tracker:
    """Numbers the objects of frames, one frame after the other, by Roboflow's ``trackers``.

    A track has its number from the second frame in a row in which its object is sure, so that a false alarm of a single
    frame has none. Its first frame gets it as well, by `begun`. A track whose object is not found waits for a second.

    Args:
        fps: frames per second, of those that are looked at.
        score_thr: a track begins with an object of this score.

    Raises:
        InputError: the package is missing.
    """

    def __init__(self, *, fps: float, score_thr: float) -> None:
        try:
            detections: Any = import_module('supervision').Detections
            byte_track: Any = import_module('trackers').ByteTrackTracker
        except ImportError as error:
            raise InputError(f'{PACKAGE} ({error})') from error
        self._detections = detections
        self._tracker = byte_track(
            lost_track_buffer=30,  # of 30 frames a second, whatever `fps` is
            frame_rate=fps,
            track_activation_threshold=score_thr,
            high_conf_det_threshold=score_thr,
            minimum_consecutive_frames=2,
        )
        self._score_thr = score_thr
        self._known = 0
        empty: tuple[np.ndarray, np.ndarray, np.ndarray] = np.zeros((0, 4)), np.zeros(0, int), np.zeros(0, bool)
        self._before = empty  # boxes, tracks, and which of them are sure

    def __call__(self, boxes: np.ndarray, scores: np.ndarray, time: float) -> tuple[np.ndarray, np.ndarray]:
        """Number the objects of the next frame.

        Args:
            boxes: (N, 4) x1, y1, x2, y2 in pixels.
            scores: (N,)
            time: of the frame, in seconds; later than that of the frame before.

        Returns:
            (N,) int, the number of each object's track, from 1; `NO_TRACK` for none, or for one that may begin here.
            And the numbers of the objects of the frame before, where the tracks that begin there have theirs.
        """
        tracks = np.full(len(boxes), NO_TRACK)
        found = self._detections(
            xyxy=np.asarray(boxes, float).reshape(-1, 4),
            confidence=np.asarray(scores, float),
            class_id=np.zeros(len(boxes), int),
            data={'place': np.arange(len(boxes))},
        )
        found = self._tracker.update(found, timestamp=time)
        if len(found):
            tracks[found.data['place']] = found.tracker_id + (found.tracker_id >= 0)  # theirs begin at 0
        earlier_boxes, earlier, sure = self._before
        new = np.where(tracks > self._known, tracks, NO_TRACK)
        earlier = earlier.copy()
        earlier[sure] = begun(earlier_boxes[sure], earlier[sure], boxes, new)
        self._known = max(self._known, *tracks.tolist(), 0)
        self._before = np.asarray(boxes, float).reshape(-1, 4), tracks, np.asarray(scores) >= self._score_thr
        return tracks, earlier


def begun(before: np.ndarray, earlier: np.ndarray, boxes: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Give the tracks that are new in a frame to the objects of the frame before with which they began.

    Args:
        before: (M, 4) boxes of the frame before.
        earlier: (M,) their tracks; `NO_TRACK` for none.
        boxes: (N, 4) boxes of the frame.
        new: (N,) its tracks that are new; `NO_TRACK` for other objects.

    Returns:
        (M,) tracks: each new one is that of the object without one which overlaps it most.
    """
    earlier = earlier.copy()
    for index in np.flatnonzero(new != NO_TRACK):
        overlap = np.where(earlier == NO_TRACK, iou(before, boxes[index]), 0)
        if overlap.max(initial=0) > 0:
            earlier[overlap.argmax()] = new[index]
    return earlier


def iou(boxes: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The intersection over union of (N, 4) boxes with one, (N,)."""
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    common = (high - low).clip(0).prod(axis=1)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
    return common / np.maximum(area - common, 1e-9)
