"""The page that tools/test.py --report writes, also in a browser."""

import base64
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmagg.apis.hardware import hardware
from mmagg.cli import test
from mmagg.cli.main import run
from mmagg.datasets.coco_reader import read_truth
from mmagg.evaluation.report import Evaluation, score_table, write_report

BROWSERS = 'chromium', 'chromium-browser', 'google-chrome'
QUIET = ['--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync']
# What the page looks like to the browser: no part wider than the window, and where the pictures are.
PROBE = """<script>
const box = e => (r => [r.left + scrollX, r.top + scrollY, r.width, r.height])(e.getBoundingClientRect());
addEventListener('load', () => { document.body.dataset.probe = JSON.stringify({
  width: document.documentElement.scrollWidth, room: document.documentElement.clientWidth,
  height: document.documentElement.scrollHeight,
  broken: [...document.images].filter(i => !i.naturalWidth).length,
  charts: [...document.querySelectorAll('.chart img')].map(box),
  pictures: [...document.querySelectorAll('.pictures img')].map(box) }); });
</script></head>"""


class Page(HTMLParser):
    """The page's text, and what its elements refer to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.texts, self.links, self.ids = [], [], set()
        self.source = path.read_text(encoding='utf-8')
        self.feed(self.source)
        self.text = ' '.join(' '.join(self.texts).split())

    def handle_starttag(self, tag: str, attrs: list) -> None:
        values = dict(attrs)
        self.links += [values[key] for key in ('src', 'href') if key in values]
        self.ids.add(values.get('id'))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def pictures(self) -> list[np.ndarray]:
        """The JPEGs in it."""
        found = re.findall('data:image/jpeg;base64,([^"]+)', self.source)
        return [cv2.imdecode(np.frombuffer(base64.b64decode(one), np.uint8), cv2.IMREAD_COLOR) for one in found]


@pytest.fixture
def tested(shapes_folder: Path, tmp_path: Path) -> Evaluation:
    """A run that found half of the objects, and no other ones."""
    truth = read_truth(shapes_folder / 'annotations/instances_train.json')
    content = json.loads(truth.path.read_text())
    records = [
        {key: entry[key] for key in ('image_id', 'category_id', 'segmentation', 'bbox')} | {'score': 0.9}
        for entry in content['annotations'][::2]
    ]
    results = tmp_path / 'results.json'
    results.write_text(json.dumps(records))
    return Evaluation(
        config='a <b>& "c"',
        checkpoint='epoch_1.pth',
        truth=truth,
        image_ids=truth.image_ids,
        results=results,
        image_folder=shapes_folder / 'images/train',
        metrics={
            'coco/segm_mAP': 0.5,
            'coco/segm_mAP_l': -1.0,
            'lvis/segm_AP*': 0.25,
            'coco/segm_mAP_copypaste': '0.500 0.9',
        },
        seconds={'waiting for data': 0.001, 'backbone': 0.003},
        machine=hardware('cpu'),
    )


def written(tested: Evaluation, tmp_path: Path) -> Page:
    write_report(tested, tmp_path / 'out/report.html', score_thr=0.3)
    return Page(tmp_path / 'out/report.html')


def test_all_is_in_one_page(tested: Evaluation, tmp_path: Path) -> None:
    page = written(tested, tmp_path)
    assert all(link.startswith('data:') or link.removeprefix('#') in page.ids for link in page.links)
    assert 'a <b>& "c"' in page.text, 'names are escaped'
    assert 'mask 50.0 –' in page.text
    assert 'lvis/segm_AP* 25.0' in page.text
    assert 'copypaste 0.500 0.9' in page.text, 'no number is lost'
    assert '4.0 ms, 250.00 images a second' in page.text
    assert 'backbone 3.0 75.0' in page.text
    objects, images = len(tested.truth.objects), len(tested.truth.image_ids)
    assert f'{images} images, {objects} objects, {(objects + 1) // 2} detections' in page.text
    found = [int(number) for number in re.findall(r'found (\d+), missed', page.text)]
    missed = [int(number) for number in re.findall(r'missed (\d+), wrong 0', page.text)]
    assert (sum(found), sum(missed)) == ((objects + 1) // 2, objects // 2)
    qualities = [float(value) for value in re.findall(r'quality ([\d.]+)', page.text)]
    assert qualities == sorted(qualities, reverse=True)
    shown = [f / (f + m / 2) for f, m in zip(found, missed, strict=True)]
    np.testing.assert_allclose(qualities, 100 * np.array(shown), atol=0.06)
    assert len(page.pictures()) == images


@pytest.mark.parametrize('case', ['nothing found', 'nothing annotated', 'boxes', 'boundaries', 'a part of the classes'])
def test_unusual_runs(tested: Evaluation, tmp_path: Path, case: str) -> None:
    if case == 'nothing found':
        tested.results.write_text('[]')
        page = written(tested, tmp_path)
        assert 'found 0' in page.text
    elif case == 'nothing annotated':
        empty = tmp_path / 'empty.json'
        empty.write_text(json.dumps({**json.loads(tested.truth.path.read_text()), 'annotations': []}))
        tested.results.write_text('[]')
        page = written(replace(tested, truth=read_truth(empty)), tmp_path)
        assert 'There is no image with objects' in page.text
    elif case == 'boxes':
        records = json.loads(tested.results.read_text())
        tested.results.write_text(json.dumps([{k: v for k, v in r.items() if k != 'segmentation'} for r in records]))
        boxes = read_truth(tested.truth.path, 'bbox')
        page = written(replace(tested, truth=boxes, metrics={'coco/bbox_mAP': 0.125}), tmp_path)
        assert 'box 12.5' in page.text
        assert 'Box AP in per cent' in page.text
    elif case == 'boundaries':
        page = written(replace(tested, metrics={'coco/boundary_mAP': 0.125}), tmp_path)
        assert 'boundary 12.5' in page.text
        assert 'Mask AP in per cent' in page.text
    else:
        kept = tested.truth.category_ids[1:3]
        records = json.loads(tested.results.read_text())
        tested.results.write_text(json.dumps([r for r in records if r['category_id'] in kept]))
        page = written(replace(tested, truth=tested.truth.of_categories(kept)), tmp_path)
        truth = json.loads(tested.truth.path.read_text())
        objects = sum(entry['category_id'] in kept for entry in truth['annotations'])
        assert f' {objects} objects' in page.text
        names = {category['id']: category['name'] for category in truth['categories']}
        rows = page.text.split('at score')[1].split('Images')[0]
        assert [name in rows for name in names.values()] == [number in kept for number in names]


def test_a_part_of_the_images(tested: Evaluation, tmp_path: Path) -> None:
    """The page is that of a file of these images alone, but for a line that says so."""
    image_ids = tested.truth.image_ids[1:3]
    records = [record for record in json.loads(tested.results.read_text()) if record['image_id'] in image_ids]
    tested.results.write_text(json.dumps(records))
    content = json.loads(tested.truth.path.read_text())
    content['images'] = [image for image in content['images'] if image['id'] in image_ids]
    content['annotations'] = [one for one in content['annotations'] if one['image_id'] in image_ids]
    (tmp_path / 'part.json').write_text(json.dumps(content))
    part = written(replace(tested, image_ids=set(image_ids)), tmp_path)
    alone = written(replace(tested, truth=read_truth(tmp_path / 'part.json'), image_ids=image_ids), tmp_path)
    note = 'Only 2 of the 4 annotated images were tested; the others do not count.'
    assert note in part.text
    assert note not in alone.text
    shown = [page.text[page.text.index(' Scores ') :] for page in (part, alone)]
    assert shown[0] == shown[1]
    assert f'2 images, {len(content["annotations"])} objects' in part.text
    assert len(part.pictures()) == 2


def test_more_detections_than_coco_counts(tested: Evaluation, tmp_path: Path) -> None:
    record = json.loads(tested.results.read_text())[0]
    tested.results.write_text(json.dumps([{**record, 'score': 1 - i / 1000} for i in range(150)]))
    assert ' 100 detections' in written(tested, tmp_path).text
    assert ' 120 detections' in written(replace(tested, max_dets=120), tmp_path).text


def test_pictures_are_shown_as_large_as_they_are(tested: Evaluation, tmp_path: Path) -> None:
    page = written(tested, tmp_path)
    widths = [
        int(width) for width in re.findall(r'<figure style="width: (\d+)px">\s*<img src="data:image/jpeg', page.source)
    ]
    assert widths == [picture.shape[1] for picture in page.pictures()] != []
    # An image with a relative width counts as 0 for such a box, which would shrink it.
    assert 'min-content' not in page.source


def test_an_image_that_cannot_be_drawn_does_not_cost_the_page(tested: Evaluation, tmp_path: Path, capsys) -> None:
    page = written(replace(tested, image_folder=tmp_path / 'elsewhere'), tmp_path)
    assert not page.pictures()
    assert 'mask 50.0' in page.text
    assert f'report: {tmp_path / "elsewhere/000000.png"}' in capsys.readouterr().err


def test_scores_have_the_columns_that_are_known() -> None:
    table = score_table({'coco/bbox_mAP': 0.1, 'coco/segm_mAP': 0.2, 'coco/segm_AR@100': 0.3, 'other': 1})
    assert table == {'columns': ['AP', 'AR 100'], 'rows': [('mask', ['20.0', '30.0']), ('box', ['10.0', '–'])]}
    assert score_table({'accuracy': 0.5}) == {'columns': [], 'rows': []}
    both = score_table({'coco/segm_mAP': 0.2, 'other/segm_mAP': 0.4, 'coco/segm_mAP_copypaste': '0.2 0.3'})
    assert both == {'columns': ['AP'], 'rows': [('coco, mask', ['20.0']), ('other, mask', ['40.0'])]}


def test_from_a_test_run(tiny_config: Path, trained: Path, shapes_folder: Path, tmp_path: Path, capsys) -> None:
    arguments = [tiny_config, trained / 'iter_2.pth', '--coco', shapes_folder, '--work-dir', tmp_path / 'run']
    arguments += ['--report', tmp_path / 'report', '--show-score-thr', 0]
    assert run(test, [str(argument) for argument in arguments]) == 0
    assert f'report: {tmp_path / "report/report.html"}' in capsys.readouterr().out
    page = Page(tmp_path / 'report/report.html')
    metrics = json.loads((tmp_path / 'run/metrics.json').read_text())
    assert f'mask {100 * metrics["coco/segm_mAP"]:.1f}' in page.text
    stages = page.text.split('stage ms %')[1]
    for stage in ('waiting for data', 'preprocessing', 'backbone', 'neck', 'head', 'post', 'collecting'):
        assert float(re.search(rf'{stage} ([\d.]+)', stages)[1]) > 0, stage
    assert len(page.pictures()) == 2
    assert json.loads((tmp_path / 'report/results.json').read_text())


def test_a_file_of_the_reports_name(tiny_config: Path, trained: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / 'report').write_text('')
    assert run(test, [str(tiny_config), str(trained / 'iter_2.pth'), '--report', str(tmp_path / 'report')]) == 2
    assert f'--report {tmp_path / "report"}: is a file' in capsys.readouterr().err


@pytest.fixture(scope='module')
def browser(tmp_path_factory: pytest.TempPathFactory):
    """Opens a page in Chromium at a window size; gives what is written to its standard output."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f'no browser: install one of {", ".join(BROWSERS)} to look at the page')
    profile = tmp_path_factory.mktemp('profile')

    def show(page: Path, size: tuple[int, int], *more: str) -> str:
        options = ['--headless', '--no-sandbox', '--no-first-run', '--hide-scrollbars', *QUIET, *more]
        options += [f'--user-data-dir={profile}', f'--window-size={size[0]},{size[1]}']
        done = subprocess.run([program, *options, page.as_uri()], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    return show


@pytest.mark.parametrize('width', [1200, 500])
def test_looks_right_in_a_browser(browser, tested: Evaluation, tmp_path: Path, width: int) -> None:
    page = written(tested, tmp_path)
    probed = tmp_path / 'probed.html'
    probed.write_text(page.source.replace('</head>', PROBE), encoding='utf-8')
    dom = browser(probed, (width, 900), '--dump-dom')
    seen = json.loads(re.search('data-probe="([^"]+)"', dom)[1].replace('&quot;', '"'))
    assert seen['broken'] == 0
    assert seen['width'] <= seen['room'] == width, 'nothing runs out of the window'

    if width == 1200:
        assert [round(box[2]) for box in seen['pictures']] == [picture.shape[1] for picture in page.pictures()]

    shot = tmp_path / 'page.png'
    browser(tmp_path / 'out/report.html', (width, seen['height']), f'--screenshot={shot}')
    screen = cv2.imread(str(shot))
    assert screen.shape == (seen['height'], width, 3)
    for picture, box in zip(page.pictures(), seen['pictures'], strict=True):
        x, y, w, h = (round(value) for value in box)
        expected = cv2.resize(picture, (w, h), interpolation=cv2.INTER_AREA).astype(int)
        inside = slice(8, -8), slice(8, -8)  # corners are round
        difference = abs(screen[y : y + h, x : x + w].astype(int) - expected)[inside]
        assert difference.mean() < 6, 'each picture is where the page says, and is itself'
    assert len(seen['charts']) == page.source.count('data:image/svg+xml') == 5
    for x, y, w, h in seen['charts']:
        chart = screen[round(y) : round(y + h), round(x) : round(min(x + w, width))]
        assert min(chart.shape[:2]) > 100
        assert (abs(chart.astype(int) - 255).max(axis=2) > 100).mean() > 0.01, 'a chart has ink'
