"""Data sets through formats and back, split, merged, renamed, tiled."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from annotated import awkward_masks

from mmagg.datasets.coco_check import check_coco
from mmagg.formats.convert_data import convert_data
from mmagg.formats.known import FORMATS, format_of
from mmagg.formats.written import WRITERS
from mmagg.io.errors import InputError
from mmagg.rle.codes import decode_mask, instance_boxes, masks_to_rle, outline_to_rle, rle_area

SHARED = Path(os.environ.get('MMAGG_SHARED', Path(__file__).resolve().parents[3] / 'shared'))
FLAT = 'voc', 'coco-panoptic'  # an object a pixel


def entries(out: Path, part: str) -> dict:
    return json.loads((out / f'annotations/instances_{part}.json').read_text())


def masks_of(out: Path) -> dict[tuple[str, str], list[tuple[str, dict]]]:
    """The classes and masks of each image of each part, by the stem of its name; without regions of many objects."""
    found = {}
    for path in sorted((out / 'annotations').glob('instances_*.json')):
        content = json.loads(path.read_text())
        names = {x['id']: x['name'] for x in content['categories']}
        sizes = {x['id']: (x['height'], x['width']) for x in content['images']}
        keys = {x['id']: (path.stem[10:], Path(x['file_name']).stem) for x in content['images']}
        found |= {key: [] for key in keys.values()}
        for x in content['annotations']:
            if x['iscrowd']:
                continue
            mask = masks_to_rle([outline_to_rle(x['segmentation'], *sizes[x['image_id']])])[0]
            found[keys[x['image_id']]].append((names[x['category_id']], mask))
    return found


def made(folder: Path, masks: list[np.ndarray], *, classes=('nut', 'two words'), part='train', first=0) -> Path:
    """A COCO folder of images, each with some masks (N, H, W)."""
    images, annotations = [], []
    for number, some in enumerate(masks, first):
        height, width = some.shape[1:]
        path = folder / f'images/{part}/{number:02}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.random.default_rng(number).integers(0, 255, (height, width, 3), np.uint8))
        images.append({'id': number, 'file_name': path.name, 'height': height, 'width': width})
        rles = masks_to_rle(some)
        for place, (rle, box) in enumerate(zip(rles, instance_boxes(None, rles, count=len(rles)), strict=True)):
            x1, y1, x2, y2 = box.tolist()
            annotation = {'id': 100 * number + place, 'image_id': number, 'category_id': place % len(classes)}
            box = {'bbox': [x1, y1, x2 - x1, y2 - y1], 'area': rle_area(rle), 'iscrowd': 0}
            annotations.append({**annotation, **box, 'segmentation': rle})
    categories = [{'id': place, 'name': name} for place, name in enumerate(classes)]
    path = folder / f'annotations/instances_{part}.json'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({'images': images, 'annotations': annotations, 'categories': categories}))
    return folder


def apart(masks: np.ndarray) -> np.ndarray:
    """The same masks without the pixels of those before them; without those that have none left."""
    left = masks & ~(np.cumsum(masks, axis=0) - masks).astype(bool)
    return left[left.any(axis=(1, 2))]


def uncovered(objects: list[tuple[str, dict]]) -> list[tuple[str, dict]]:
    """Classes and masks without the pixels of those after them; without those that have none left."""
    left: list[tuple[str, dict]] = []
    covered = np.zeros(objects[0][1]['size'] if objects else (0, 0), bool)
    for name, rle in reversed(objects):
        mask = decode_mask(rle)
        if (mask & ~covered).any():
            left.append((name, masks_to_rle([mask & ~covered])[0]))
        covered |= mask
    return left


@pytest.fixture(scope='module')
def ours(tmp_path_factory):
    """A folder with both parts: of masks that overlap, and of masks that do not."""
    masks = awkward_masks()
    few = [masks[:3], masks[3:5], masks[6:8], masks[:0]]
    folders = {}
    for name, some in {'overlapping': [masks, *few], 'flat': [apart(masks[[1, 2, 6, 8, 4]]), *map(apart, few)]}.items():
        folder = tmp_path_factory.mktemp(name)
        made(folder, some)
        folders[name] = made(folder, some, part='val', first=50)
    return folders


@pytest.mark.parametrize('name', [name for name in WRITERS if name != 'coco'])
def test_ours_survives_a_round_trip(name, ours, tmp_path):
    source = ours['flat' if name in FLAT else 'overlapping']
    there = convert_data(sources=[source], out=tmp_path / 'there', to_format=name)
    assert format_of(tmp_path / 'there') == name
    back = convert_data(sources=[tmp_path / 'there'], out=tmp_path / 'back')
    assert there.skipped == back.skipped == []
    before, after = masks_of(source), masks_of(tmp_path / 'back')
    if name in ('labelme', 'masks'):  # in which objects have no order
        before, after = ({key: sorted(x, key=str) for key, x in found.items()} for found in (before, after))
    assert after == before
    for part, stem in before:
        pixels = [cv2.imread(str(folder / f'images/{part}/{stem}.png')) for folder in (source, tmp_path / 'back')]
        assert (pixels[0] == pixels[1]).all()


def test_a_folder_that_is_made_can_be_trained_on(ours, tmp_path):
    done = convert_data(sources=[ours['overlapping']], out=tmp_path / 'mine', split=[0.5, 0.3, 0.2])
    sizes = [len(entries(tmp_path / 'mine', part)['images']) for part in ('train', 'val', 'test')]
    assert sizes == [5, 3, 2]
    assert done.folder.classes == ['nut', 'two words']
    for part in ('train', 'val', 'test'):
        found = check_coco(tmp_path / f'mine/annotations/instances_{part}.json', tmp_path / f'mine/images/{part}')
        assert not [finding for finding in found if finding.severity == 'fatal']
    assert str(done).splitlines()[0].split() == ['train', 'val', 'test']
    again = convert_data(sources=[ours['overlapping']], out=tmp_path / 'mine', split=[0.8, 0.2], overwrite=True)
    assert not again.folder.kept
    assert not (tmp_path / 'mine/images/test').exists()


def test_parts_are_kept_unless_a_split_is_given(ours, tmp_path):
    kept = convert_data(sources=[ours['flat']], out=tmp_path / 'kept')
    assert kept.folder.kept
    assert masks_of(tmp_path / 'kept') == masks_of(ours['flat'])


def test_sources_are_merged_by_the_names_of_classes_and_files_stay_apart(tmp_path):
    some = [awkward_masks()[:2]] * 4
    made(tmp_path / 'a', some, classes=('nut', 'bolt'))
    made(tmp_path / 'b', some, classes=('bolt', 'Nut'))
    done = convert_data(sources=[tmp_path / 'a', tmp_path / 'b'], out=tmp_path / 'mine', rename=[('Nut', 'nut')])
    assert done.folder.classes == ['nut', 'bolt']
    assert sum(count.sum(axis=0) for count in done.folder.counts.values()).tolist() == [8, 8]
    names = [x['file_name'] for part in ('train', 'val') for x in entries(tmp_path / 'mine', part)['images']]
    assert len(names) == len(set(names)) == 8
    dropped = convert_data(sources=[tmp_path / 'a'], out=tmp_path / 'dropped', drop=['bolt'])
    assert dropped.folder.classes == ['nut']
    for message, arguments in {
        r'--rename bot: no such class .*did you mean bolt': {'rename': [('bot', 'x')]},
        '--drop washer: no such class': {'drop': ['washer']},
        'no object is left': {'drop': ['nut', 'bolt']},
        'is in two of the sources': {'sources': [tmp_path / 'a', tmp_path / 'a']},
    }.items():
        with pytest.raises(InputError, match=message):
            convert_data(**{'sources': [tmp_path / 'a'], 'out': tmp_path / 'x', **arguments})
    assert not (tmp_path / 'x').exists()


@pytest.mark.parametrize('group', ['prefix', r'[a-z]+', r'([a-z]+)_\d'])
def test_the_images_of_a_group_stay_together(group, tmp_path):
    folder = tmp_path / 'yolo'
    for burst in 'abcdefgh':
        for number in range(4):
            for kind in ('images', 'labels'):
                (folder / kind).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / f'images/{burst}_{number}.png'), np.zeros((8, 8, 3), np.uint8))
            (folder / f'labels/{burst}_{number}.txt').write_text('0 0.1 0.1 0.9 0.1 0.9 0.9\n')
    (folder / 'classes.txt').write_text('nut\n')
    convert_data(sources=[folder], out=tmp_path / 'mine', group=group, split=[0.5, 0.25, 0.25])
    bursts = [
        {x['file_name'][0] for x in entries(tmp_path / 'mine', part)['images']} for part in ('train', 'val', 'test')
    ]
    assert sum(map(len, bursts)) == len(set.union(*bursts)) == 8
    assert [len(some) for some in bursts] == [4, 2, 2]


def test_tiles_hold_every_pixel_of_the_masks(tmp_path):
    rng = np.random.default_rng(0)
    masks = np.zeros((3, 150, 201), bool)
    masks[0, 20:140, 10:190], masks[1, 30:40, 30:41] = True, True
    masks[2] = rng.random((150, 201)) < 0.3
    source = made(made(tmp_path / 'a', [masks, masks[:, :40, :50]]), [masks[:1]], part='val', first=9)
    done = convert_data(sources=[source], out=tmp_path / 'mine', tile=64, overlap=0.25, min_piece=0.05)
    content = entries(tmp_path / 'mine', 'train')
    assert done.folder.kept
    assert len(content['images']) == 3 * 4 + 1
    seen, pixels = np.zeros_like(masks), cv2.imread(str(source / 'images/train/00.png'))
    for image in content['images'][:-1]:
        x, y = map(int, image['file_name'][:-4].split('_')[1:])
        assert (image['height'], image['width']) == (64, 64)
        tile = cv2.imread(str(tmp_path / f'mine/images/train/{image["file_name"]}'))
        assert (tile == pixels[y : y + 64, x : x + 64]).all()
        for annotation in (one for one in content['annotations'] if one['image_id'] == image['id']):
            mask = decode_mask(annotation['segmentation'])
            matching = [k for k in range(3) if (masks[k, y : y + 64, x : x + 64] == mask).all()]
            assert matching
            seen[matching[0], y : y + 64, x : x + 64] |= mask
            assert annotation['iscrowd'] == (mask.sum() < 0.05 * masks[matching[0]].sum())
    assert (seen == masks).all()
    for part in ('train', 'val'):
        found = check_coco(tmp_path / f'mine/annotations/instances_{part}.json', tmp_path / f'mine/images/{part}')
        assert not [finding for finding in found if finding.severity == 'fatal']


@pytest.mark.parametrize('data', ['nuts_18', pytest.param('coco_open_125', marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    'name',
    ['yolo', *(pytest.param(name, marks=pytest.mark.slow) for name in WRITERS if name not in ('coco', 'yolo'))],
)
def test_photographs_survive_a_round_trip(data, name, tmp_path):
    if not (SHARED / 'data' / data).is_dir():
        pytest.skip('no photographs at hand')
    convert_data(sources=[SHARED / 'data' / data], out=tmp_path / 'ours', link=True)
    convert_data(sources=[tmp_path / 'ours'], out=tmp_path / 'there', to_format=name, link=True)
    convert_data(sources=[tmp_path / 'there'], out=tmp_path / 'back', link=True)
    before, after = masks_of(tmp_path / 'ours'), masks_of(tmp_path / 'back')
    assert before.keys() == after.keys()
    for key, objects in before.items():
        if name in FLAT:
            objects = uncovered(objects)
        assert sorted(after[key], key=str) == sorted(objects, key=str)


def test_links_lead_to_the_images_and_what_is_ours_alone_is_replaced(ours, tmp_path):
    convert_data(sources=[ours['flat']], out=tmp_path / 'mine', link=True)
    assert all(path.is_symlink() for path in (tmp_path / 'mine').rglob('*.png'))
    with pytest.raises(InputError, match='not empty'):
        convert_data(sources=[ours['flat']], out=tmp_path / 'mine')
    (tmp_path / 'mine/thesis.txt').touch()
    with pytest.raises(InputError, match=r'holds more .*thesis.txt'):
        convert_data(sources=[ours['flat']], out=tmp_path / 'mine', overwrite=True)


def test_arguments_out_of_range_are_refused(ours, tmp_path):
    for message, arguments in {
        '--split 0.8,0.3': {'split': [0.8, 0.3]},
        '--split 1': {'split': [1.0]},
        '--split nan': {'split': [float('nan'), 0.2]},
        '--seed -1': {'seed': -1},
        '--tile 3': {'tile': 3},
        '--overlap 1': {'overlap': 1.0},
        '--min-piece 2': {'min_piece': 2.0},
        '--link: tiles': {'link': True, 'tile': 64},
        r'--group \(: no regular expression': {'group': '(', 'split': [0.8, 0.2]},
        '--images .*no such folder': {'images': tmp_path / 'nowhere'},
        '--overwrite: ': {'to_format': 'yolo', 'overwrite': True},
        'no such file or folder': {'sources': [tmp_path / 'nowhere']},
        'an archive': {'sources': [tmp_path / 'a.zip']},
        'of no format that is read': {'sources': [tmp_path]},
        'is an input': {'out': ours['flat']},
        'holds .*, which is read': {'out': ours['flat'].parent},
    }.items():
        with pytest.raises(InputError, match=message):
            convert_data(**{'sources': [ours['flat']], 'out': tmp_path / 'x', **arguments})
    assert list(tmp_path.iterdir()) == []
    assert set(FORMATS) == set(WRITERS) | {'roboflow'}


@pytest.mark.parametrize('to_format', WRITERS)
def test_parts_whose_images_have_the_same_names(tmp_path: Path, to_format: str) -> None:
    """As `make_shapes` and many others number them: each part from 0 on."""
    for part, masks in (('train', awkward_masks()[:1]), ('val', awkward_masks()[1:2])):
        made(tmp_path / 'ours', [masks, masks], part=part)
    there, back = tmp_path / 'there', tmp_path / 'back'
    convert_data(sources=[tmp_path / 'ours'], out=there, to_format=to_format)
    convert_data(sources=[there], out=back, from_format=to_format)
    assert masks_of(back) == masks_of(tmp_path / 'ours')
    assert to_format in ('cvat', 'voc') or not list(back.glob('images/*/images'))


def test_tiles_of_images_with_long_names_have_files(tmp_path: Path) -> None:
    source = made(tmp_path / 'a', [np.ones((1, 64, 64), bool)] * 2)
    path = source / 'annotations/instances_train.json'
    content = json.loads(path.read_text())
    image = content['images'][0]
    old, image['file_name'] = image['file_name'], f'{"n" * 250}.png'
    (source / 'images/train' / old).rename(source / 'images/train' / image['file_name'])
    path.write_text(json.dumps(content))
    convert_data(sources=[path], images=source / 'images/train', out=tmp_path / 'mine', tile=32, split=[0.5, 0.5])
    for part in ('train', 'val'):
        assert all(
            (tmp_path / f'mine/images/{part}' / x['file_name']).is_file()
            for x in entries(tmp_path / 'mine', part)['images']
        )


def test_what_was_written_into_a_source_is_not_read_again(tmp_path: Path) -> None:
    """Here images lie apart from their JSON, and are looked for."""
    source = tmp_path / 'labelme'
    for number in range(3):
        square = {'label': 'a', 'points': [[3, 3], [20, 3], [20, 20], [3, 20]], 'shape_type': 'polygon'}
        for folder in ('images', 'json'):
            (source / folder).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(source / f'images/{number}.png'), np.zeros((40, 40, 3), np.uint8))
        content = {'shapes': [square], 'imagePath': f'../images/{number}.png'}
        (source / f'json/{number}.json').write_text(json.dumps(content))
    for overwrite in (False, True):
        assert convert_data(sources=[source], out=source / 'mine', overwrite=overwrite).skipped == []


def test_what_is_left_out_is_said_where_too_few_images_are_left(tmp_path: Path) -> None:
    source = made(tmp_path / 'a', [np.ones((1, 64, 64), bool)] * 2)
    (source / 'images/train/01.png').write_text('no image')
    with pytest.raises(InputError, match=r'1 image for 2 parts; each needs one\n.*01\.png: cannot be read as an image'):
        convert_data(sources=[source], out=tmp_path / 'mine')


@pytest.mark.parametrize('to_format', WRITERS)
def test_regions_of_many_objects_are_not_written_as_one(tmp_path: Path, to_format: str) -> None:
    masks = np.zeros((2, 30, 40), bool)
    masks[0, 2:12, 2:12] = masks[1, 15:25, 15:35] = True
    folder = made(tmp_path / 'a', [masks])
    made(tmp_path / 'a', [masks], part='val', first=1)
    path = folder / 'annotations/instances_train.json'
    content = json.loads(path.read_text())
    content['annotations'][1]['iscrowd'] = 1
    path.write_text(json.dumps(content))
    done = convert_data(sources=[folder], out=tmp_path / 'b', to_format=to_format)
    has_them = to_format in ('coco', 'coco-panoptic')
    said = f'1 region of many objects (iscrowd), which {to_format} does not have'
    assert (said in done.skipped) == (not has_them)
    assert int(done.folder.counts['train'].sum()) == 1 + has_them
