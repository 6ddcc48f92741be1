"""A page in a browser on which a model is tried on images, by Gradio."""

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from mmagg.apis.result import Result
from mmagg.formats.image_files import FORMATS
from mmagg.io.errors import EXPECTED, InputError, one_line
from mmagg.io.images import SUFFIXES, read_image
from mmagg.io.paths import fitting
from mmagg.rle.codes import rle_area

if TYPE_CHECKING:
    from mmagg.apis.segmenter import Segmenter

PACKAGE = "the page needs Gradio, which is not installed: pip install 'mmagg[serve]'"
LEAST = 0.05  # the score from which instances can be shown; the model runs once an image, not once a threshold
PICTURE = 'picture (PNG)'
KEPT = 20  # files to be downloaded that are there at a time
COLUMNS = 'class', 'score', 'x1', 'y1', 'x2', 'y2', 'area'
GRADIOS = '127.0.0.1'  # whatever the host, Gradio looks here whether a port is free
PORTS = range(7860, 7960)  # one of them, unless another is asked for


def gradio() -> ModuleType:
    """Gradio, which says nothing about its users to anybody.

    Raises:
        InputError: it is not installed.
    """
    os.environ |= {'GRADIO_ANALYTICS_ENABLED': 'False', 'HF_HUB_DISABLE_TELEMETRY': '1', 'HF_HUB_OFFLINE': '1'}
    try:
        return import_module('gradio')
    except ImportError as error:
        raise InputError(f'{PACKAGE} ({error})') from error


@contextmanager
def serving(
    segmenter: 'Segmenter', *, host: str = '127.0.0.1', port: int | None = None, upload: int = 64, title: str = 'mmagg'
) -> Iterator[str]:
    """Serve the page while the block runs; files are written to a temporary folder, which goes with it.

    Args:
        segmenter: the model.
        host: the address to listen on, also one of IPv6: by default, other machines do not reach it.
        port: by default the first free one of `PORTS`.
        upload: the largest image file, in megabytes.
        title: stands on the page.

    Yields:
        The page's address.

    Raises:
        InputError: Gradio is not installed, or cannot listen there.
    """
    package, host = gradio(), host.strip('[]')
    with tempfile.TemporaryDirectory(prefix='mmagg-serve-', ignore_cleanup_errors=True) as folder:
        os.environ['GRADIO_TEMP_DIR'] = folder
        downloads = Path(folder) / 'downloads'
        downloads.mkdir()
        blocks = page(package, segmenter, downloads=downloads, upload=upload, title=title)
        place = port or next(filter(lambda one: is_free(host, one), PORTS), PORTS[0])
        check_port(host, place)
        try:
            _, address, _ = blocks.launch(
                server_name=f'[{host}]' if ':' in host else host,
                server_port=place,
                share=False,
                prevent_thread_lock=True,
                quiet=True,
                footer_links=[],
                max_file_size=upload * 1_000_000,
                ssr_mode=False,
                theme=_theme(package),
            )
        except ValueError as error:  # Gradio asks itself, five times, and would advise a public link
            blocks.close(verbose=False)
            raise InputError(
                f'the page does not answer at {host}:{place}: this machine is too busy, or there is a proxy '
                f'(NO_PROXY={host} leaves it out)'
            ) from error
        try:
            yield address
        finally:
            blocks.close(verbose=False)


def page(package: ModuleType, segmenter: 'Segmenter', *, downloads: Path, upload: int, title: str) -> Any:
    """The page, not yet served.

    Args:
        package: Gradio.
        segmenter: the model.
        downloads: a folder for files that are downloaded.
        upload: the largest image file, in megabytes, which is said.
        title: stands on it.
    """
    gr = package
    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=(600, 3600)) as blocks:
        found = gr.State()
        gr.Markdown(f'## {title}')
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                image = gr.File(label=f'Image, up to {upload} MB', file_types=sorted(SUFFIXES), elem_id='image')
                score = gr.Slider(LEAST, 1, value=0.3, step=0.01, label='Score threshold', elem_id='score')
                classes = gr.Dropdown(
                    list(segmenter.classes), value=[], multiselect=True, label='Classes (all where none is chosen)'
                )
                tiled = gr.Checkbox(label='Tiles, for large images with small objects', elem_id='tiled')
                tile = gr.Slider(128, 2048, value=1024, step=32, label='Side of a tile, in pixels')
                form = gr.Dropdown([PICTURE, *FORMATS], value=PICTURE, label='Download as', elem_id='format')
                download = gr.DownloadButton('Download', interactive=False, elem_id='download')
            with gr.Column(scale=3):
                said = gr.Textbox(show_label=False, container=False, interactive=False, elem_id='said')
                overlay = gr.Image(
                    show_label=False, interactive=False, format='png', elem_id='overlay', buttons=['fullscreen']
                )
                table = gr.Dataframe(headers=list(COLUMNS), interactive=False, elem_id='objects')

        def look(path: str | None, tiled: bool, tile: float) -> Result | str | None:
            return predicted(segmenter, path, int(tile) if tiled else None)

        def show(found: Result | str | None, score: float, classes: list[str], form: str) -> list:
            if not isinstance(found, Result):
                return [found or '', None, [], gr.DownloadButton(interactive=False, value=None)]
            try:
                part = chosen(found, score, classes)
                file = written(part, form, downloads)
                line = f'{part.name}: {len(part)} of {len(found)} instances'
                picture = part.plot()[..., ::-1]
                return [line, picture, rows(part), gr.DownloadButton(interactive=True, value=str(file))]
            except EXPECTED as error:  # as of a format that this model has no masks for, or a full disk
                return [one_line(error), None, [], gr.DownloadButton(interactive=False, value=None)]

        shown = dict(
            fn=show,
            inputs=[found, score, classes, form],
            outputs=[said, overlay, table, download],
            show_progress='hidden',
            api_visibility='private',
        )
        for changed in (image.change, tiled.change, tile.release):
            changed(look, [image, tiled, tile], found, api_visibility='private').then(**shown)
        for changed in (score.change, classes.change, form.change):
            changed(**shown)
    return blocks


def predicted(segmenter: 'Segmenter', path: str | None, tile: int | None) -> Result | str | None:
    """What is found in a file, or a line that says why it cannot be looked at; None without a file."""
    if path is None:
        return None
    name = Path(path).name
    try:
        pixels = read_image(Path(path))
        return replace(segmenter(pixels, score_thr=LEAST, tile=tile), name=name, pixels=pixels)
    except EXPECTED as error:
        return one_line(error).replace(path, name).replace('image_0', name)


def chosen(found: Result, score_thr: float, classes: list[str]) -> Result:
    """The instances of at least this score, of these classes; of all where none is named."""
    wanted = np.array([name in classes or not classes for name in found.names], bool)
    return found[(found.scores >= score_thr) & wanted]


def written(found: Result, form: str, folder: Path) -> Path:
    """A file with a result below a folder, from which older ones are removed."""
    for old in sorted(folder.iterdir(), key=lambda one: one.stat().st_mtime)[: -KEPT + 1]:
        shutil.rmtree(old, ignore_errors=True)
    place = Path(tempfile.mkdtemp(dir=folder))
    stem = Path(found.name).stem
    if form == PICTURE:
        return found.save(place / fitting(f'{stem}.png'))
    return found.save(place / fitting(f'{stem}{FORMATS[form].suffix}'), form)


def rows(found: Result) -> list[list]:
    """The table of a result's instances, the most certain ones first."""
    found = found[np.argsort(-found.scores, kind='stable')]
    columns = zip(found.names, found.scores.tolist(), found.boxes.tolist(), found.rles, strict=True)
    return [
        [name, round(score, 3), *(round(number, 1) for number in box), None if rle is None else int(rle_area(rle))]
        for name, score, box, rle in columns
    ]


def is_free(host: str, port: int) -> bool:
    """Whether one can listen there."""
    with suppress(InputError):
        check_port(host, port)
        return True
    return False


def check_port(host: str, port: int) -> None:
    """Refuse an address on which one cannot listen.

    Raises:
        InputError: another program listens there, or it is none of this machine's.
    """
    try:
        for one in (host.strip('[]'), GRADIOS):
            with socket.create_server((one, port), family=socket.AF_INET6 if ':' in one else socket.AF_INET):
                pass
    except (OSError, OverflowError) as error:
        why = error.strerror if isinstance(error, OSError) else 'no port'
        raise InputError(f'--host {host} --port {port}: {why}; choose another one') from error


def _theme(package: ModuleType) -> Any:
    """Without fonts that browsers would fetch from Google."""
    return package.themes.Default(font=['system-ui', 'sans-serif'], font_mono=['ui-monospace', 'monospace'])
