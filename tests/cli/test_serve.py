"""``mmagg serve`` as a user calls it, looked at in a browser."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import pytest
import torch
from browser import BROWSERS, Browser, browser, program

from mmagg.cli.main import COMMANDS, run


@pytest.mark.skipif(find_spec('gradio') is not None, reason='Gradio is installed')
def test_without_gradio_it_is_a_line(capsys) -> None:
    assert run(COMMANDS['serve'], ['absent.py', 'absent.pth']) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: the page needs Gradio, which is not installed: pip install 'mmagg[serve]'")
    assert error.count('\n') == 1


@contextmanager
def served(root: Path, words: list, home: Path) -> Iterator[tuple[subprocess.Popen, str]]:
    """The command in a process of its own, and the address that it prints."""
    environment = {
        **os.environ,
        'HOME': str(home),
        'TMPDIR': str(home / 'tmp'),
        'PYTHONPATH': os.pathsep.join(sys.path),
    }
    (home / 'tmp').mkdir(parents=True)
    process = subprocess.Popen(
        [sys.executable, '-m', 'mmagg', 'serve', *map(str, words)],
        cwd=home,
        env={**environment, 'MPLCONFIGDIR': str(home / 'tmp'), 'XDG_CACHE_HOME': str(home / 'tmp')},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        address = None
        while address is None and (line := process.stdout.readline()):
            address = re.search(r'http://\S+', line)
        assert address is not None, process.stderr.read()[-3000:]
        yield process, address[0]
    finally:
        process.kill()
        process.wait()


def eventually(what: Callable[[], object], seconds: float = 60) -> object:
    """What a call returns once that is something."""
    deadline = time.monotonic() + seconds
    while not (value := what()) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert value, 'it does not come'
    return value


def upload(page: Browser, path: Path) -> None:
    """Drop a file on the page."""
    selector = '#image input[type=file]'
    eventually(lambda: page.run(f"!!document.querySelector('{selector}')"))
    document = page.call('DOM.getDocument')['root']['nodeId']
    node = page.call('DOM.querySelector', nodeId=document, selector=selector)['nodeId']
    page.call('DOM.setFileInputFiles', nodeId=node, files=[str(path)])


def said(page: Browser) -> str:
    return page.run("(document.querySelector('#said textarea, #said input') || {}).value || ''")


def enter(page: Browser, selector: str, text: str) -> None:
    """Type a text in the place of a field's, and press Enter."""
    page.run(f"document.querySelector('{selector}').focus(); document.querySelector('{selector}').select()")
    page.call('Input.insertText', text=text)
    for kind in ('keyDown', 'keyUp'):
        page.call('Input.dispatchKeyEvent', type=kind, key='Enter', code='Enter', windowsVirtualKeyCode=13)


def downloaded(page: Browser, folder: Path, suffix: str) -> Path:
    """The file that comes with the button once it is of this kind."""

    def ask() -> Path | None:
        page.run("document.querySelector('#download').click()")
        time.sleep(1)
        return next(iter(folder.glob(f'*{suffix}')), None)

    eventually(lambda: page.run("!document.querySelector('#download').disabled"))
    return eventually(ask)


@pytest.fixture
def sure(trained: Path, tmp_path: Path) -> Path:
    """The weights of the trained model, and more certain of everything: two iterations have taught it nothing."""
    content = torch.load(trained / 'iter_2.pth', weights_only=False)
    for name, values in content['state_dict'].items():
        if re.match(r'mask_head\.conv_(cls|mask_list).*bias', name):
            values += 6
    torch.save(content, tmp_path / 'sure.pth')
    return tmp_path / 'sure.pth'


@pytest.mark.slow
@pytest.mark.skipif(find_spec('gradio') is None, reason='Gradio is not installed')
@pytest.mark.skipif(program() is None, reason=f'there is no browser: {", ".join(BROWSERS)}')
def test_an_image_is_tried_in_a_browser(
    trained: Path, sure: Path, shapes_folder: Path, root: Path, tmp_path: Path
) -> None:
    home = tmp_path / 'home'
    (tmp_path / 'broken.png').write_text('no image')
    words = [trained / 'tiny.py', sure, '--device', 'cpu']
    with served(root, words, home) as (process, address), browser(tmp_path / 'profile') as page:
        assert urlsplit(address).hostname == '127.0.0.1'
        page.show(address, size=(1280, 900), dark=False)
        upload(page, shapes_folder / 'images/val/000000.png')
        size = eventually(lambda: page.run("(document.querySelector('#overlay img') || {}).naturalWidth"))
        assert size == 64
        there = int(re.fullmatch(r'000000\.png: \d+ of (\d+) instances', eventually(lambda: said(page)))[1])
        assert there > 0
        for threshold, shown in (('1', 0), ('0.05', there)):
            enter(page, '#score input[type=number]', threshold)
            line = f'000000.png: {shown} of {there} instances'
            eventually(lambda line=line: said(page) == line)

        downloads = tmp_path / 'downloads'
        page.call('Page.setDownloadBehavior', behavior='allow', downloadPath=str(downloads))
        picture = cv2.imread(str(downloaded(page, downloads, '.png')))
        image = cv2.imread(str(shapes_folder / 'images/val/000000.png'))
        assert picture.shape == image.shape
        assert (picture != image).any()
        for form, suffix in (('yolo', '.txt'), ('coco', '.json'), ('geojson', '.geojson'), ('csv', '.csv')):
            enter(page, '#format input', form)
            text = downloaded(page, downloads, suffix).read_text()
            found = json.loads(text)['annotations' if form == 'coco' else 'features'] if 'json' in suffix else None
            assert len(text.splitlines() if found is None else found) == there + (form == 'csv')

        page.run("document.querySelector('#tiled input').click()")  # a tile is larger than the image: all as before
        time.sleep(2)
        assert eventually(lambda: said(page)) == line

        # Nothing is fetched from elsewhere, which would tell others about it.
        asked = [
            event['params']['request']['url'] for event in page.events if event['method'] == 'Network.requestWillBeSent'
        ]
        hosts = {urlsplit(url).hostname for url in asked if url.startswith('http')}
        assert hosts == {'127.0.0.1'}

        page.show(address, size=(1280, 900), dark=False)
        upload(page, tmp_path / 'broken.png')
        assert eventually(lambda: said(page)).startswith('broken.png: ')

        process.send_signal(signal.SIGINT)
        error = process.communicate(timeout=60)[1]
        assert process.returncode == 130
        assert error.splitlines()[-1] == 'interrupted'
    left = [path.relative_to(home).as_posix() for path in home.rglob('*') if path.is_file()]
    assert not [name for name in left if not name.startswith('tmp/')], 'all files were in the temporary folder'
    assert not list((home / 'tmp').glob('mmagg-serve-*')), 'which is gone'
