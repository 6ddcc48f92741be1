"""The documentation as it is built: strictly, and looked at in a browser."""

import functools
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import pytest
from browser import BROWSERS, Browser, browser, program

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow
SHOWN = ['index.html', 'methods/solo.html', 'commands/train.html', 'api/ops/mask_nms.html', 'notebooks/own_data.html']
# What runs out of the window, but for what can be scrolled; pictures that are not there; texts too like their ground.
PROBE = """(() => {
  const pixel = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const over = (colour, [r, g, b], opacity) => {
    pixel.globalAlpha = 1; pixel.fillStyle = `rgb(${r},${g},${b})`; pixel.fillRect(0, 0, 1, 1);
    pixel.globalAlpha = opacity; pixel.fillStyle = colour; pixel.fillRect(0, 0, 1, 1);
    return pixel.getImageData(0, 0, 1, 1).data.slice(0, 3); };
  const luminance = c => [...c].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const line = e => e ? [...line(e.parentElement), e] : [];
  const texts = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; node = walk.nextNode();) {
    const parents = line(node.parentElement), styles = parents.map(e => getComputedStyle(e));
    const range = document.createRange(); range.selectNodeContents(node);
    const box = range.getBoundingClientRect(), style = styles.at(-1);
    const opacity = styles.reduce((product, s) => product * s.opacity, 1);
    if (!node.data.trim() || !box.width || style.visibility != 'visible' || opacity < 0.1) continue;
    if (parents.some(e => ['SCRIPT', 'STYLE', 'NOSCRIPT'].includes(e.tagName))) continue;
    const ground = styles.reduce((below, s) => over(s.backgroundColor, below, 1), [255, 255, 255]);
    const [a, b] = [luminance(over(style.color, ground, opacity)), luminance(ground)].sort((x, y) => y - x);
    texts.push([(a + 0.05) / (b + 0.05), `${node.data.trim().slice(0, 40)} (${parents.at(-1).className})`]);
  }
  const cut = e => ['auto', 'scroll', 'hidden'].includes(getComputedStyle(e).overflowX);
  return {
    width: document.documentElement.scrollWidth, room: innerWidth,
    outside: [...document.querySelectorAll('article *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1
      && !line(e.parentElement).some(cut)).map(e => e.outerHTML.slice(0, 80)),
    pictures: document.images.length,
    broken: [...document.images].filter(i => !i.naturalWidth).map(i => i.src),
    scheme: document.body.dataset.mdColorScheme,
    texts: texts.length, faint: texts.filter(t => t[0] < 4.5) }; })()"""


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without a word."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope='module')
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a warning is an error."""
    pytest.importorskip('mkdocs', reason='`make docs` installs what builds the site')
    folder = tmp_path_factory.mktemp('site')
    command = [sys.executable, '-m', 'mkdocs', 'build', '--config-file', 'docs/site/mkdocs.yml', '--site-dir', folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-5000:]
    return folder


@pytest.fixture(scope='module')
def address(site: Path) -> Iterator[str]:
    """Where the site is served."""
    server = ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}/'
    server.shutdown()
    server.server_close()


@pytest.fixture(scope='module')
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if program() is None:
        pytest.skip(f'no browser: install one of {", ".join(BROWSERS)} to look at the pages')
    with browser(tmp_path_factory.mktemp('profile')) as opened:
        yield opened


def test_pages_are_whole(site: Path) -> None:
    """Each has one heading and a title of its own; no mark of Markdown is left, nothing comes from elsewhere."""
    titles = set()
    pages = [path for path in site.rglob('*.html') if path.name != '404.html']
    for path in pages:
        text = path.read_text(encoding='utf-8')
        article = text[text.index('<article') : text.index('</article>')]
        assert article.count('<h1') == 1, path
        titles.add(re.search('<title>(.*?)</title>', text, re.DOTALL)[1])
        prose = re.sub(r'<(pre|code|details)\b.*?</\1>', '', article, flags=re.DOTALL)
        assert not re.findall(r'.*(?:<autoref|\]\(|\\[*_]|``).*', prose), path
        if 'api' in path.parts:
            assert '<em>' not in prose, path
        assert not re.findall(r'<(?:script|img|link|iframe)[^>]*(?:src|href)="?(?:https?:)?//', text), path
    assert len(pages) == len(titles)


@pytest.mark.parametrize('dark', [False, True], ids=['light', 'dark'])
@pytest.mark.parametrize('size', [(1280, 900), (390, 844)], ids=['desktop', 'phone'])
@pytest.mark.parametrize('page', SHOWN)
def test_looks_right(opened: Browser, address: str, tmp_path: Path, page: str, size: tuple, dark: bool) -> None:
    requests = opened.show(address + page, size=size, dark=dark)
    assert not [url for url in requests if not url.startswith((address, 'data:', 'blob:'))]
    seen = opened.run(PROBE)
    assert seen['room'] == seen['width'] == size[0], 'nothing runs out of the window'
    assert not seen['outside']
    assert not seen['broken']
    assert seen['pictures'] or page.startswith(('commands', 'api'))
    assert seen['scheme'] == ('slate' if dark else 'default')
    assert seen['texts'] > 20
    assert not seen['faint']
    opened.screenshot(tmp_path / 'page.png')
    screen = cv2.imread(str(tmp_path / 'page.png'))
    assert screen.shape == (size[1], size[0], 3)
    assert (screen[-20:, :10].mean() < 128) == dark, 'the ground at the edge, where no picture is'
