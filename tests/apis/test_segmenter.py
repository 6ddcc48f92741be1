"""`Segmenter`: what it takes, and that batches have the results of one by one."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from PIL import Image

from mmagg.apis.config import load_config
from mmagg.apis.result import Result
from mmagg.apis.segmenter import Segmenter
from mmagg.io.errors import InputError

OPTIONS = {'model.test_cfg.score_thr': 0.0, 'model.test_cfg.filter_thr': 0.0, 'model.test_cfg.max_per_img': 12}


@pytest.fixture(scope='module')
def checkpoint(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of the demo's SOLO."""
    torch.manual_seed(0)
    model = MODELS.build(load_config(root / 'configs/demo/solo_tiny_shapes.py').model)
    model.init_weights()
    checkpoint = tmp_path_factory.mktemp('segmenter') / 'random.pth'
    torch.save({'state_dict': model.state_dict()}, checkpoint)
    return checkpoint


@pytest.fixture(scope='module')
def segmenter(root: Path, checkpoint: Path) -> Segmenter:
    """The demo's SOLO with random weights, which finds something everywhere."""
    return Segmenter(root / 'configs/demo/solo_tiny_shapes.py', checkpoint, device='cpu', cfg_options=OPTIONS)


@pytest.fixture
def folder(shapes_folder: Path, tmp_path: Path) -> Path:
    """Images of three sizes: four of 64 by 64 pixels, wide and tall ones."""
    folder = tmp_path / 'images'
    shutil.copytree(shapes_folder / 'images/train', folder)
    shapes = cv2.imread(str(folder / '000000.png'))
    (folder / 'deep').mkdir()
    cv2.imwrite(str(folder / 'deep/wide.png'), shapes[:40])
    cv2.imwrite(str(folder / 'deep/tall.png'), shapes[:, :40])
    return folder


def same(one: Result, other: Result) -> bool:
    arrays = ('boxes', 'scores', 'labels')
    return one.rles == other.rles and all(np.array_equal(getattr(one, x), getattr(other, x)) for x in arrays)


def test_every_kind_of_input(segmenter: Segmenter, folder: Path) -> None:
    path = folder / '000000.png'
    want = segmenter(path, score_thr=0)
    assert len(want) == 12
    assert want.size == (64, 64)
    assert want.path == path
    assert want.name == '000000.png'
    bgr = cv2.imread(str(path))
    rgb = np.ascontiguousarray(bgr[..., ::-1])
    for image, more in (
        (str(path), {}),
        (bgr, {}),
        (rgb, {'rgb': True}),
        (Image.fromarray(rgb), {}),
        (torch.from_numpy(bgr), {}),
        (torch.from_numpy(rgb).permute(2, 0, 1), {'rgb': True}),
    ):
        found = segmenter(image, score_thr=0, **more)
        assert same(found, want), type(image)
        assert (found.image == bgr).all()
        (listed,) = segmenter([image], score_thr=0, **more)
        assert same(listed, want)
    for several in (folder, folder / '*.png', str(folder / '**/*.png')):
        results = segmenter(several, score_thr=0)
        assert [one.name for one in results] == sorted(one.name for one in results)
    assert [one.name for one in results][-2:] == ['deep/tall.png', 'deep/wide.png']
    generated = segmenter((path for path in [path, bgr]), score_thr=0)
    assert [one.name for one in generated] == ['000000.png', 'image_1']


@pytest.mark.parametrize('workers', [0, 1])
def test_a_batch_has_the_results_of_one_by_one(segmenter: Segmenter, folder: Path, workers: int) -> None:
    """Bit by bit, whatever else is in the batch: a wide image among square ones is not padded to their size.

    Of small maps, oneDNN sums in another order for several images than for one; PyTorch's own convolutions do not.
    """
    with torch.backends.mkldnn.flags(enabled=False):
        alone = [segmenter(path, score_thr=0) for path in sorted(folder.rglob('*.png'))]
        for batch_size in (2, 8):
            together = segmenter(folder, score_thr=0, batch_size=batch_size, workers=workers)
            assert [one.name for one in together] == [one.path.relative_to(folder).as_posix() for one in alone]
            assert all(same(one, other) for one, other in zip(alone, together, strict=True))
    for one, other in zip(alone, segmenter(folder, score_thr=0, batch_size=8), strict=True):
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_allclose(one.scores, other.scores, rtol=0, atol=1e-5)
        assert (one.masks() ^ other.masks()).sum(axis=(1, 2)).max() <= 4


def test_a_stream_asks_for_a_batch_at_a_time(segmenter: Segmenter, folder: Path) -> None:
    asked = []

    def images():
        for path in sorted(folder.glob('*.png')):
            asked.append(path)
            yield cv2.imread(str(path))

    stream = segmenter(images(), batch_size=2, stream=True)
    assert not asked
    assert [len(asked) for _ in stream] == [2, 2, 4, 4]


def test_thresholds_classes_and_the_most_detections(segmenter: Segmenter, folder: Path) -> None:
    path = folder / '000000.png'
    every = segmenter(path, score_thr=0)
    threshold = float(np.median(every.scores))
    assert same(segmenter(path, score_thr=threshold), every[every.scores >= threshold])
    assert same(
        segmenter(path, score_thr=0, max_detections=3), every[np.sort(np.argsort(-every.scores, kind='stable')[:3])]
    )
    name = every.names[0]
    assert set(segmenter(path, score_thr=0, classes=[name]).names) == {name}
    assert len(segmenter(path, score_thr=1.0)) == 0


def test_half_precision_and_views(segmenter: Segmenter, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / '000000.png'
    want = segmenter(path, score_thr=0)
    monkeypatch.setattr(segmenter.engine, 'half', True)
    found = segmenter(path, score_thr=0)
    assert found.scores.dtype == np.float32
    assert not np.array_equal(found.scores, want.scores)
    np.testing.assert_allclose(found.scores.max(), want.scores.max(), atol=0.02)
    monkeypatch.setattr(segmenter.engine, 'half', False)
    views = segmenter([path, folder / 'deep/wide.png', path], score_thr=0, tta=True, batch_size=3)
    assert same(views[0], views[2])
    assert not np.array_equal(views[0].scores, want.scores)
    assert same(segmenter(path, score_thr=0), want), 'the model itself stays as it is'
    assert (segmenter.cap().limit, segmenter.cap(tta=True).limit, segmenter.cap(tile=64)) == (12, 100, None)


def test_tiles_are_images_of_their_own(segmenter: Segmenter, folder: Path) -> None:
    """Without an overlap nothing is merged: an image of four has their instances, in their places."""
    pytest.importorskip('mmagg.apis.tiles')
    four = [cv2.imread(str(path)) for path in sorted(folder.glob('*.png'))]
    whole = np.vstack([np.hstack(four[:2]), np.hstack(four[2:])])
    cv2.imwrite(str(folder / 'whole.png'), whole)
    want = [(one, 64 * (i // 2), 64 * (i % 2)) for i, one in enumerate(segmenter(four, score_thr=0))]
    for image in (whole, folder / 'whole.png'):
        found = segmenter(image, tile=64, overlap=0.0, batch_size=3, score_thr=0)
        assert found.size == (128, 128)
        seen = found.masks()
        for one, y, x in want:
            here = seen[:, y : y + 64, x : x + 64]
            assert sorted(map(bytes, here[here.any(axis=(1, 2))])) == sorted(map(bytes, one.masks()))
    with pytest.raises(InputError, match='tile 1'):
        segmenter(whole, tile=1)


def test_images_that_cannot_be_used(segmenter: Segmenter, folder: Path, capsys: pytest.CaptureFixture) -> None:
    broken = folder / '000001.png'
    broken.write_bytes(b'no image')
    (folder / 'b.gif').touch()
    cv2.imwrite(str(folder / 'thin.png'), np.zeros((1, 5000, 3), np.uint8))
    found = segmenter(folder, batch_size=3, workers=1)
    assert [one.name for one in found] == [
        *('000000.png', '000002.png', '000003.png', 'deep/tall.png', 'deep/wide.png')
    ]
    said = capsys.readouterr().err
    assert all(f'{folder / name}: ' in said for name in ('000001.png', 'b.gif', 'thin.png'))
    with pytest.raises(InputError, match=r'000001\.png: cannot be read'):
        segmenter([folder / '000000.png', broken])
    with pytest.raises(InputError, match=r'thin\.png: a tile of 5000 × 1 pixels'):
        segmenter(folder / 'thin.png', tile=5000)
    left: list[str] = []
    given = [broken, np.zeros((4, 4), float), 'https://a.org/b.jpg', 7, folder / '000000.png']
    found = segmenter(given, on_error=lambda name, error: left.append(f'{name}: {error}'))
    assert [one.name for one in found] == ['000000.png']
    assert len(left) == 4
    for line, part in zip(left, ('000001.png', 'image_1: ', 'a URL is not fetched', 'int is no file'), strict=True):
        assert part in line
    assert segmenter(broken, on_error=lambda *_: None) is None


@pytest.mark.parametrize(
    ('images', 'said'),
    [
        ('nowhere.jpg', r'nowhere\.jpg: no such file or folder'),
        ('https://a.org/b.jpg', 'a URL is not fetched'),
        ('nowhere/*.jpg', 'no images match'),
        (7, 'int is no file, folder'),
        (b'bytes', 'bytes is no file, folder'),
        (torch.zeros(3, 5, 3, dtype=torch.uint8), 'first or last'),
        (torch.zeros(3, 5, 6), 'a tensor of float32'),
        (np.zeros((2, 8, 8, 3), np.uint8), r'shape \(2, 8, 8, 3\); give a list of images'),
    ],
)
def test_what_is_no_image_is_refused(segmenter: Segmenter, images: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        segmenter(images)


@pytest.mark.parametrize(
    ('more', 'said'),
    [
        ({'score_thr': 30}, 'score_thr 30'),
        ({'batch_size': 0}, 'batch_size 0'),
        ({'classes': 'star'}, r"should be a list, \['star'\]"),
        ({'classes': ['horse']}, "no 'horse'; it has circle"),
        ({'classes': []}, 'none is named'),
        ({'max_detections': 13}, r'returns 12 at most; --cfg-options model\.test_cfg\.max_per_img=13'),
        ({'tile': 64, 'tta': True}, 'not together with tile'),
    ],
)
def test_arguments_that_cannot_work_are_refused(segmenter: Segmenter, more: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        segmenter(np.zeros((8, 8, 3), np.uint8), **more)


def test_the_first_argument_may_be_a_name_of_weights() -> None:
    with pytest.raises(InputError, match='mmdet/sol: no such file, and no such name; did you mean'):
        Segmenter('mmdet/sol')


def test_a_pil_image_is_what_its_file_is(segmenter: Segmenter, folder: Path) -> None:
    """Turned by its EXIF data, and of 16 bits the first eight, of which Pillow would make white."""
    grey = cv2.imread(str(folder / '000000.png'), cv2.IMREAD_GRAYSCALE)[:40]
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(grey).save(folder / 'turned.png', exif=turned)
    cv2.imwrite(str(folder / 'deep.png'), grey.astype(np.uint16) << 8)
    for name, size in (('turned.png', (64, 40)), ('deep.png', (40, 64))):
        found, want = segmenter(Image.open(folder / name)), segmenter(folder / name)
        assert found.size == want.size == size
        assert (found.image == want.image).all()


def test_a_broken_image_in_memory_is_a_line(segmenter: Segmenter, folder: Path) -> None:
    Image.open(folder / '000000.png').resize((999, 999)).save(folder / 'cut.jpg')
    (folder / 'cut.jpg').write_bytes((folder / 'cut.jpg').read_bytes()[:5000])
    pixels = np.zeros((40, 40, 3), np.uint8)
    images = [Image.open(folder / 'cut.jpg'), torch.ones(40, 40, 3).bfloat16(), Image.new('F', (9, 9)), pixels]
    lines = []
    assert len(segmenter(images, on_error=lambda name, error: lines.append(str(error)))) == 1
    assert [line.partition(';')[0].partition(' (')[0] for line in lines] == [
        'image_0: cannot be read: image file is truncated',
        'image_1: a tensor of bfloat16',
        'image_2: a PIL image of mode F, whose range is not known',
    ]


def test_images_of_a_list_have_names_of_their_own(segmenter: Segmenter, folder: Path) -> None:
    """`one.save(f'out/{one.name}.json')` writes a file for each."""
    shutil.copy(folder / '000000.png', folder / 'deep')
    images = [folder / '000000.png', str(folder / 'deep/000000.png')]
    assert [one.name for one in segmenter(images)] == ['000000.png', 'deep/000000.png']
    assert [one.name for one in segmenter(images[1:])] == ['000000.png']


def test_classes_that_a_checkpoint_does_not_name_have_numbers(
    root: Path, checkpoint: Path, segmenter: Segmenter, folder: Path, tmp_path: Path
) -> None:
    named = tmp_path / 'named.pth'
    torch.save({**torch.load(checkpoint), 'meta': {'dataset_meta': {'classes': ('disc',)}}}, named)
    other = Segmenter(root / 'configs/demo/solo_tiny_shapes.py', named, device='cpu', cfg_options=OPTIONS)
    assert other.classes == ('disc', *(f'class {i}' for i in range(1, len(segmenter.classes))))
    path = folder / '000000.png'
    found = other(path, score_thr=0)
    assert found.labels.max() > 0
    assert found.names == [other.classes[label] for label in segmenter(path, score_thr=0).labels]
    assert len(found.to_coco()['annotations']) == 12
