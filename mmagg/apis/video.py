"""Prediction for the frames of a video."""

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from mmagg.apis.model_files import model_files
from mmagg.apis.result import Result
from mmagg.apis.segmenter import Segmenter
from mmagg.apis.track_files import check_track_file, track_file
from mmagg.apis.tracking import NO_TRACK, UNSURE, Tracker
from mmagg.io.errors import InputError, check_fraction, set_note
from mmagg.io.files import check_file
from mmagg.io.paths import keep_apart
from mmagg.io.unfinished import kept_unfinished
from mmagg.io.video import Frame, Video, check_video_file, video_written
from mmagg.visualization.colours import steady_colours
from mmagg.visualization.overlay import draw_instances

Found = tuple[Frame, Result]


@dataclass
class VideoPredictions:
    """What was found in a video.

    Attributes:
        frames: that were written.
        objects: in all of them, those of a track as often as they are seen.
        tracks: how many there are; None where objects are not tracked.
        codec: of the file that was written.
        fps: of that file.
        skipped: frames that could not be read: those between others, and those that the file announces at its end.
        files: that were written.
    """

    frames: int = 0
    objects: int = 0
    tracks: int | None = None
    codec: str = ''
    fps: float = 0.0
    skipped: int = 0
    files: list[Path] = field(default_factory=list)


def predict_video(
    video: str | Path,
    config: str | Path | None = None,
    checkpoint: str | Path | None = None,
    *,
    out: str | Path,
    track: bool = False,
    tracks: str | Path | None = None,
    every: int = 1,
    batch_size: int = 1,
    score_thr: float = 0.3,
    weights: str | Path | None = None,
    device: str | None = None,
    half: bool = False,
    cfg_options: dict | None = None,
    trust_checkpoint: bool = False,
    runtime: str | None = None,
    **options: Any,
) -> VideoPredictions:
    """Find the instances in a video's frames, and write a video in which they are drawn.

    Frames that cannot be read are left out; a line on stderr says how many. Whatever ends the run, the files have all
    frames that are done. Sound is not copied.

    Args:
        video: a file that OpenCV decodes.
        config: a config file, ``mmagg::<path>`` or ``mmdet::<path>``, not needed for `weights` that have a name; or the
            file of an exported model (``model.onnx``), alone.
        checkpoint: a .pth file or a URL.
        out: the video to write: .mp4, .mov, .mkv or .avi.
        track: number the objects, see `mmagg.apis.tracking`; needs ``mmagg[track]``.
        tracks: a table of the objects, .csv, or .json with their masks, see `mmagg.apis.track_files`; implies `track`.
            By default that of `out` with the suffix .csv.
        every: look only at each so many-th frame; the video that is written has these, and takes as long.
        batch_size: frames that go through the model at once; so many are in memory, and as many are read ahead.
        score_thr: less certain instances are left out; from 0 to 1. Those of a track may be less certain.
        weights: instead of a checkpoint: a name that ``mmagg weights`` lists, a file or a URL; others' are converted.
        device: e.g. ``cpu`` or ``cuda:0``; by default the GPU where there is one.
        half: as of `Segmenter`.
        cfg_options: changes to the config, dotted keys.
        trust_checkpoint: read a checkpoint that holds code; see `secure_loading`, which decides for the whole process.
        runtime: of an exported model, as of `Segmenter`.
        options: others of a call of `Segmenter`.

    Raises:
        InputError: the video cannot be read, or `out` not be written; or tracking needs a package that is missing; or
            the config or the checkpoint cannot be used.
    """
    out, track = Path(out), track or tracks is not None
    table = None if not track else out.with_suffix('.csv') if tracks is None else Path(tracks)
    check_fraction(score_thr, '--score-thr')
    for name, value in (('--every', every), ('--batch-size', batch_size)):
        if value < 1:
            raise InputError(f'{name} {value}: should be at least 1')
    check_video_file(out, '--out')
    read = model_files(config, checkpoint, weights, trust=trust_checkpoint)
    keep_apart({'--out': out, '--tracks': table}, [video, *read])
    check_file(out, '--out')
    if table is not None:
        check_track_file(table, '--tracks')
        check_file(table, '--tracks')
    source = Video(video)
    fps = source.fps / every
    tracker = Tracker(fps=fps, score_thr=score_thr) if track else None
    segmenter = Segmenter(
        config,
        checkpoint,
        weights=weights,
        device=device,
        half=half,
        cfg_options=cfg_options,
        trust_checkpoint=trust_checkpoint,
        runtime=runtime,
    )
    total = None if source.count is None else -(-source.count // every)
    done = VideoPredictions(tracks=None if tracker is None else 0, fps=fps, files=[out])
    seen: set[int] = set()
    try:
        with ExitStack() as stack:
            frames = stack.enter_context(closing(source.frames(every=every, ahead=batch_size)))
            writer = stack.enter_context(video_written(out, fps=fps, size=source.size))
            rows = None
            if table is not None:
                rows = stack.enter_context(
                    kept_unfinished(table, lambda temporary: track_file(temporary, source, segmenter.classes))
                )
                done.files.append(table)
            done.codec = writer.codec
            found = predicted(frames, segmenter, tracker, score_thr=score_thr, batch_size=batch_size, **options)
            for frame, result in tqdm(found, desc='demo', unit='frame', total=total):
                writer.write(drawn(frame.image, result))
                if rows is not None:
                    rows.write(frame, result)
                done.frames += 1
                done.objects += len(result)
                seen.update(() if result.tracks is None else result.tracks.tolist())
    except BaseException as error:
        if done.frames:
            files = ' and '.join(map(str, done.files))
            of = '' if total is None else f' of {total}'
            set_note(error, f'stopped after {done.frames}{of} frames: {files} {_has(done.files)} these')
        raise
    if tracker is not None:
        done.tracks = len(seen - {NO_TRACK})
    done.skipped = len(source.broken) + source.missing
    for line in remarks(source, out):
        tqdm.write(line, file=sys.stderr)
    return done


def predicted(
    frames: Iterable[Frame],
    segmenter: Callable[..., Iterable[Result]],
    tracker: Tracker | None = None,
    *,
    score_thr: float,
    **options: Any,
) -> Iterator[Found]:
    """Frames with what is found in them, in batches.

    Args:
        frames: of a video, in order.
        segmenter: as a `Segmenter`.
        tracker: numbers the objects; frames come one later then, as it sees from the next one which tracks begin.
        score_thr: less certain instances are left out, unless they are part of a track.
        options: others of the segmenter's call.
    """
    under_way: deque[Frame] = deque()

    def images() -> Iterator[np.ndarray]:
        for frame in frames:
            under_way.append(frame)
            yield frame.image

    least = score_thr if tracker is None else UNSURE * score_thr
    found = ((under_way.popleft(), one) for one in segmenter(images(), score_thr=least, stream=True, **options))
    return found if tracker is None else _tracked(found, tracker, score_thr)


def _tracked(found: Iterable[Found], tracker: Tracker, score_thr: float) -> Iterator[Found]:
    waiting: Found | None = None
    tracks = np.zeros(0, int)
    for frame, result in found:
        tracks, before = tracker(result.boxes, result.scores, frame.time)
        if waiting is not None:
            yield _numbered(waiting, before, score_thr)
        waiting = frame, result
    if waiting is not None:
        yield _numbered(waiting, tracks, score_thr)


def _numbered(found: Found, tracks: np.ndarray, score_thr: float) -> Found:
    frame, result = found
    return frame, replace(result, tracks=tracks)[(result.scores >= score_thr) | (tracks != NO_TRACK)]


def drawn(image: np.ndarray, result: Result) -> np.ndarray:
    """The picture of a frame, (H, W, 3) uint8 BGR; colours and names stay those of a track, or of a class."""
    tracks = None if result.tracks is None else np.where(result.tracks == NO_TRACK, -1, result.tracks)
    names = result.names
    if tracks is not None:
        names = [name if track < 0 else f'{name} #{track}' for name, track in zip(names, tracks.tolist(), strict=True)]
    masks = [rle for rle in result.rles if rle is not None]
    return draw_instances(
        image,
        masks if len(masks) == len(result) else None,  # a model may find boxes alone
        np.arange(len(result)),  # each object has its own name
        result.scores,
        result.boxes,
        names,
        steady_colours(result.labels, tracks),
    )


def remarks(video: Video, out: Path) -> list[str]:
    """What is to be said of a video that was read, in lines."""
    said = []
    if video.broken:
        first = video.broken[0]
        number = len(video.broken)
        said.append(
            f'{video.path}: {number} broken frame{"s" * (number > 1)} skipped, the first one is frame {first} (at '
            f'{first / video.fps:.2f} s)'
        )
    if video.missing:
        said.append(
            f'{video.path}: of the {video.count} frames that it announces, the last {video.missing} cannot be read; it '
            'is cut off, or was trimmed'
        )
    if video.varies:
        said.append(
            f'{video.path}: the time between frames varies; {out} has them at the mean of {video.fps:.4g} a second'
        )
    return said


def _has(files: list[Path]) -> str:
    return 'has' if len(files) == 1 else 'have'
