"""Data sets as tools leave them: their layouts, their shapes, and what of them cannot be used."""

import base64
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mmagg.apis.data import use_coco_folder
from mmagg.costs.flops_report import count_flops
from mmagg.experiments.data_stats import annotation_files_of
from mmagg.experiments.fit_mask_codec import fit_mask_codec
from mmagg.formats.convert_data import convert_data
from mmagg.formats.known import FORMATS, format_of, source_images
from mmagg.formats.source import Source
from mmagg.formats.voc import colour_map
from mmagg.io.errors import InputError
from mmagg.rle.codes import decode_mask, rle_area

HEIGHT, WIDTH = 20, 30
SQUARE = '0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5'  # x from 3 to 15, y from 2 to 10


def image_at(path: Path, value: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((HEIGHT, WIDTH, 3), value, np.uint8))
    return path


def text_at(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def read(folder: Path, name: str = 'auto'):
    """Each image's part, classes, masks and boxes, by its stem; and what was said."""
    source = Source(folder)
    found, said = {}, source.said
    for one in source_images(source, name):
        image = one.read((HEIGHT, WIDTH), said)
        names = [image.classes[label] for label in image.labels]
        found[one.file.stem] = one.part, list(zip(names, image.masks, image.boxes.tolist(), strict=True))
    return found, said


def yolo(folder: Path) -> Path:
    """As Roboflow exports it: paths that lead out of the folder."""
    for part in ('train', 'valid'):
        for number in range(3):
            image_at(folder / part / f'images/{part}{number}.jpg')
            text_at(folder / part / f'labels/{part}{number}.txt', f'1 {SQUARE}\n0 0.5 0.5 0.2 0.4\n')
    (folder / 'valid/labels/valid2.txt').unlink()
    text_at(folder / 'data.yaml', 'train: ../train/images\nval: ../valid/images\nnc: 2\nnames: [bolt, nut]\n')
    return folder


def labelme(folder: Path) -> Path:
    png = base64.b64encode(cv2.imencode('.png', np.array([[1, 0], [1, 1]], np.uint8))[1].tobytes()).decode()
    shapes = [
        {'label': 'nut', 'points': [[1, 1], [5, 1], [5, 5], [1, 5]], 'group_id': 1, 'shape_type': 'polygon'},
        {'label': 'nut', 'points': [[3, 3], [9, 3], [9, 9], [3, 9]], 'group_id': 1, 'shape_type': 'polygon'},
        {'label': 'nut', 'points': [[20, 10], [25, 10]], 'group_id': None, 'shape_type': 'circle'},
        {'label': 'bolt', 'points': [[4, 9], [1, 2]], 'shape_type': 'rectangle'},
        {'label': 'bolt', 'points': [[10, 12], [11, 13]], 'shape_type': 'mask', 'mask': png},
        {'label': 'bolt', 'points': [[10, 12], [11, 13]], 'shape_type': 'linestrip'},
    ]
    common = {'version': '5.5.0', 'imageHeight': HEIGHT, 'imageWidth': WIDTH}
    image = base64.b64encode(image_at(folder / 'x.png').read_bytes()).decode()
    (folder / 'x.png').unlink()
    inside = {**common, 'shapes': shapes, 'imagePath': '..\\images\\inside.png', 'imageData': image}
    text_at(folder / 'inside.json', json.dumps(inside))
    image_at(folder / 'images/far.jpg')
    text_at(folder / 'json/far.json', json.dumps({**common, 'shapes': shapes[:1], 'imagePath': '../images/far.jpg'}))
    text_at(folder / 'json/gone.json', json.dumps({**common, 'shapes': [], 'imagePath': 'gone.jpg'}))
    return folder


def cvat(folder: Path) -> Path:
    shapes = """
      <polygon label="nut" points="3.00,2.00;15.00,2.00;15.00,10.00;3.00,10.00" z_order="0"></polygon>
      <polygon label="nut" points="1,1;5,1;5,5;1,5" group_id="3"/> <box label="nut" xtl="4" ytl="4" xbr="9" ybr="9"
      group_id="3"/> <box label="bolt" xtl="10" ytl="5" xbr="20" ybr="10"/>
      <box label="bolt" xtl="10" ytl="5" xbr="20" ybr="9" rotation="90.0"/>
      <ellipse label="bolt" cx="15" cy="10" rx="6" ry="4"/>
      <mask label="bolt" rle="1, 2, 1, 2" left="7" top="8" width="3" height="2"/>
      <polyline label="bolt" points="1,1;5,1"/><tag label="nut"/>"""
    image_at(folder / 'images/one/a.jpg')
    text_at(
        folder / 'annotations.xml',
        f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version><meta/>'
        f'<image id="0" name="one/a.jpg" subset="Train" width="{WIDTH}" height="{HEIGHT}">{shapes}</image>'
        f'<image id="1" name="gone.jpg" width="{WIDTH}" height="{HEIGHT}"/></annotations>',
    )
    return folder


def voc(folder: Path, *, coloured: bool = True) -> Path:
    """As CVAT exports it, in colours, or as VOC is, in palettes with a border that is void."""
    ids = np.zeros((HEIGHT, WIDTH), np.uint8)
    ids[2:10, 3:15], ids[12:18, 20:28], ids[11, 20:28] = 1, 2, 0 if coloured else 255
    names = {'SegmentationObject': ids, 'SegmentationClass': np.where(ids == 255, 255, ids * (1 if coloured else 7))}
    for name, values in names.items():
        (folder / name).mkdir(parents=True)
        picture = Image.fromarray(values.astype(np.uint8), 'P')
        picture.putpalette(np.array(colour_map()).ravel().tolist())
        (picture.convert('RGB') if coloured else picture).save(folder / name / 'a.png')
    image_at(folder / 'JPEGImages/a.jpg')
    if coloured:
        colours = colour_map()
        lines = [f'{name}:{",".join(map(str, colours[place]))}::' for place, name in enumerate(['bg', 'nut', 'bolt'])]
        text_at(folder / 'labelmap.txt', '# label:color_rgb:parts:actions\n' + '\n'.join(lines))
    text_at(folder / 'ImageSets/Segmentation/val.txt', 'a\n')
    return folder


def panoptic(folder: Path) -> Path:
    ids = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    ids[2:10, 3:15], ids[12:18, 20:28], ids[0] = (0, 2, 1), (0, 0, 9), (0, 0, 3)  # B, G, R
    (folder / 'annotations/panoptic_val2017').mkdir(parents=True)
    cv2.imwrite(str(folder / 'annotations/panoptic_val2017/a.png'), ids)
    image_at(folder / 'val2017/a.jpg')
    segments = [(513, 1, 0), (9, 1, 1), (3, 2, 0)]
    content = {
        'images': [{'id': 7, 'file_name': 'a.jpg', 'height': HEIGHT, 'width': WIDTH}],
        'annotations': [
            {
                'image_id': 7,
                'file_name': 'a.png',
                'segments_info': [{'id': one, 'category_id': kind, 'iscrowd': crowd} for one, kind, crowd in segments],
            }
        ],
        'categories': [{'id': 1, 'name': 'nut', 'isthing': 1}, {'id': 2, 'name': 'sky', 'isthing': 0}],
    }
    text_at(folder / 'annotations/panoptic_val2017.json', json.dumps(content))
    return folder


def masks(folder: Path, layout: str) -> Path:
    ids = np.zeros((HEIGHT, WIDTH), np.uint16)
    ids[2:10, 3:15], ids[12:18, 20:28] = 1, 700
    if layout == 'bowl':
        image_at(folder / 'a1/images/a1.png')
        files = {folder / f'a1/masks/f0{one}.png': (ids == one) * 255 for one in (1, 700)}
    else:
        image_at(folder / 'images/a1.png')
        files = {
            'ids': {folder / 'masks/a1.tif': ids},
            'classes': {folder / 'masks/nut/a1.png': ids},
            'files': {folder / f'masks/a1/nut_{one}.png': (ids == one) * 255 for one in (1, 700)},
        }[layout]
    for path, values in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values.astype(np.uint16 if values.max() > 255 else np.uint8)).save(path)
    return folder


def test_yolo_of_roboflow(tmp_path):
    text_at(yolo(tmp_path) / 'README.roboflow.txt', '')
    assert format_of(tmp_path) == 'roboflow'
    found, said = read(tmp_path)
    assert [found[stem][0] for stem in ('train0', 'valid0')] == ['train', 'val']
    (nut, mask, box), (bolt, none, second) = found['train0'][1]
    assert (nut, bolt, none, rle_area(mask)) == ('nut', 'bolt', None, 12 * 8)
    assert (box, second) == ([3, 2, 15, 10], [12, 6, 18, 14])
    assert found['valid2'][1] == said == []


def test_yolo_of_others(tmp_path):
    """A list of images, classes by number in a dict; and darknet, with labels beside the images."""
    folder = yolo(tmp_path / 'a')
    names = 'names:\n  0: bolt\n  1: nut\n'
    text_at(folder / 'data.yaml', f'path: /content/a\ntrain: train.txt\nval: /content/a/valid/images\n{names}')
    text_at(folder / 'train.txt', './train/images/train0.jpg\ndata/train/images/train1.jpg\n')
    found, said = read(folder)
    assert {stem: part for stem, (part, _) in found.items()} == {
        **dict.fromkeys(('train0', 'train1'), 'train'),
        **dict.fromkeys(('valid0', 'valid1', 'valid2'), 'val'),
    }
    assert [line.split('/')[-1] for line in said] == ['train2.txt: no image of this name']
    image_at(tmp_path / 'b/obj_train_data/a.jpg')
    text_at(tmp_path / 'b/obj_train_data/a.txt', f'0 {SQUARE}')
    text_at(tmp_path / 'b/obj.names', 'nut\n')
    found, said = read(tmp_path / 'b')
    assert [(name, rle_area(mask)) for name, mask, _ in found['a'][1]] == [('nut', 96)]


def test_odd_names_of_yolo(tmp_path):
    """One that stands twice is one class, keys may be text, and a list may repeat an image."""
    image_at(tmp_path / 'images/a.jpg')
    text_at(tmp_path / 'labels/a.txt', ''.join(f'{number} {SQUARE}\n' for number in (0, 1, 2)))
    text_at(tmp_path / 'train.txt', './images/a.jpg\nimages/a.jpg\n')
    text_at(tmp_path / 'a.yml', 'what: !reference [is, this]\n')
    for names in ('[nut, nut, bolt]', "{'0': nut, '1': nut, '2': bolt}"):
        text_at(tmp_path / 'data.yaml', f'train: train.txt\nnames: {names}\n')
        found, said = read(tmp_path)
        assert [name for name, _, _ in found['a'][1]] == ['nut', 'nut', 'bolt']
        assert said == []
    for names in ('{0: nut, 2: bolt}', '&all [nut, [*all, *all]]'):
        text_at(tmp_path / 'data.yaml', f'names: {names}\n')
        with pytest.raises(InputError, match='no names of classes'):
            read(tmp_path)
    (tmp_path / 'data.yaml').unlink()
    text_at(tmp_path / 'classes.txt', 'a\nb\nc\n')
    assert format_of(tmp_path) == 'yolo', 'whatever other YAML there is'


def test_text_of_windows(tmp_path):
    """Its editors begin a file with a mark, which is no part of the first name; other encodings than UTF-8 are said."""
    image_at(tmp_path / 'images/a.jpg')
    (tmp_path / 'labels').mkdir()
    (tmp_path / 'labels/a.txt').write_bytes(f'\ufeff0 {SQUARE}\r\n'.encode())
    (tmp_path / 'classes.txt').write_bytes('\ufeffgröße \r\n'.encode())
    found, said = read(tmp_path)
    assert [name for name, _, _ in found['a'][1]] == ['größe']
    assert said == []
    (tmp_path / 'classes.txt').write_bytes('größe\n'.encode('latin-1'))
    with pytest.raises(InputError, match=r'classes\.txt: not UTF-8'):
        read(tmp_path)


def test_shapes_of_labelme(tmp_path):
    found, said = read(labelme(tmp_path))
    nut, disc, box, mask = found['inside'][1]
    assert [name for name, *_ in found['inside'][1]] == ['nut', 'nut', 'bolt', 'bolt']
    assert rle_area(nut[1]) == 16 + 36 - 4  # parts of a group that overlap
    assert abs(rle_area(disc[1]) - np.pi * 25) < 3
    assert box[1:] == (None, [1, 2, 4, 9])
    assert np.argwhere(decode_mask(mask[1])).tolist() == [[12, 10], [13, 10], [13, 11]]
    assert len(found['far'][1]) == 1
    gone, strip = sorted(said, key=len, reverse=True)
    assert gone.startswith(f'{tmp_path}/json/gone.json: its image, gone.jpg, is neither in')
    assert strip == f'{tmp_path}/inside.json: shape 5 is a linestrip, which has no area'
    done = convert_data(sources=[tmp_path], out=tmp_path.with_name('labelme-out'))
    assert sorted(path.name for path in tmp_path.with_name('labelme-out').rglob('*.*g')) == ['far.jpg', 'inside.png']
    assert len(done.skipped) == 2


def test_json_that_is_not_of_labelme_is_said(tmp_path):
    other = text_at(labelme(tmp_path) / 'json/near.json', '{}')
    assert f'{other}: not of labelme, without "shapes" or "imagePath"' in read(tmp_path)[1]


def test_shapes_of_cvat(tmp_path):
    found, said = read(cvat(tmp_path))
    part, objects = found['a']
    square, group, box, turned, oval, mask = objects
    assert (part, rle_area(square[1])) == ('train', 96)
    assert rle_area(group[1]) == 16 + 25 - 1
    assert box[1:] == (None, [10, 5, 20, 10])
    assert turned[2] == [13, 2, 17, 12]
    assert abs(rle_area(oval[1]) - np.pi * 24) < 6
    assert np.argwhere(decode_mask(mask[1])).tolist() == [[8, 8], [8, 9], [9, 8], [9, 9]]
    assert sorted(line.split(':')[0].split('/')[-1] for line in said) == ['annotations.xml', 'gone.jpg']


@pytest.mark.parametrize('coloured', [True, False])
def test_objects_of_voc(coloured, tmp_path):
    found, _ = read(voc(tmp_path, coloured=coloured))
    part, objects = found['a']
    assert part == 'val'
    names = ('nut', 'bolt') if coloured else ('car', 'motorbike')  # VOC's classes 7 and 14
    assert [(name, rle_area(mask)) for name, mask, _ in objects] == [(names[0], 96), (names[1], 48)]


def test_things_of_panoptic(tmp_path):
    found, _ = read(panoptic(tmp_path))
    assert found['a'][0] == 'val'
    assert [(name, rle_area(mask)) for name, mask, _ in found['a'][1]] == [('nut', 96), ('nut', 48)]
    (image,) = source_images(Source(tmp_path))
    assert image.read((HEIGHT, WIDTH), []).crowd.tolist() == [False, True]


def test_a_segment_of_no_category_is_not_lost(tmp_path):
    folder = panoptic(tmp_path)
    path = folder / 'annotations/panoptic_val2017.json'
    path.write_text(path.read_text().replace('"category_id": 2', '"category_id": 99'))
    (image,) = source_images(Source(folder))
    with pytest.raises(InputError, match='its segment 3 is of category 99, not listed'):
        image.read((HEIGHT, WIDTH), [])


@pytest.mark.parametrize('layout', ['ids', 'classes', 'files', 'bowl'])
def test_masks_of_all_layouts(layout, tmp_path):
    found, said = read(masks(tmp_path, layout))
    name = 'nut' if layout in ('classes', 'files') else 'object'
    assert [(one, rle_area(mask)) for one, mask, _ in found['a1'][1]] == [(name, 96), (name, 48)]
    assert said == []


MAKERS = {
    'yolo': yolo,
    'labelme': labelme,
    'cvat': cvat,
    'voc': voc,
    'coco-panoptic': panoptic,
    'masks': lambda folder: masks(folder, 'files'),
}


@pytest.mark.parametrize('name', MAKERS)
def test_a_folder_is_recognised_and_the_error_of_coco_says_how_to_convert_it(name, tmp_path):
    folder = MAKERS[name](tmp_path / 'my export')
    assert [one for one, kind in FORMATS.items() if kind.fits(folder)] == [name]
    way = "`mmagg convert-data '.*' 'my export-coco'` makes a folder of it"
    said = f'seems to be {FORMATS[name].title}; {way}'
    with pytest.raises(InputError, match=said):
        use_coco_folder({}, folder)
    for use in (lambda: fit_mask_codec(coco=folder), lambda: count_flops('absent.py', coco=folder)):
        with pytest.raises(InputError, match=f'^--coco .*{said}'):
            use()
    with pytest.raises(InputError, match=f'^{folder}: {said}'):
        annotation_files_of(folder)


def test_what_is_broken_is_named_and_the_rest_is_read(tmp_path):
    folder = yolo(tmp_path / 'a')
    text_at(folder / 'train/labels/train0.txt', f'0 {SQUARE}\n7 {SQUARE}\n')
    (folder / 'train/images/train1.jpg').write_bytes(b'no image')
    done = convert_data(sources=[folder], out=tmp_path / 'mine')
    assert [len(count) for count in done.folder.counts.values()] == [1, 3]
    wrong, broken = done.skipped
    assert wrong.endswith('train0.txt, line 2: class 7 is not one of the 2 named')
    assert broken.endswith('train1.jpg: cannot be read as an image')


def bad(folder: Path, name: str, **changes: str) -> Path:
    """A data set with a text of one of its files changed."""
    MAKERS[name](folder)
    for path in folder.rglob('*'):
        if path.suffix in ('.txt', '.json', '.xml', '.yaml'):
            text = path.read_text()
            for old, new in changes.items():
                text = text.replace(old, new)
            path.write_text(text)
    return folder


@pytest.mark.parametrize(
    'name, old, new, message',
    [
        ('yolo', 'nc: 2', 'kpt_shape: [17, 3]', 'of keypoints'),
        ('yolo', 'names: [bolt, nut]', 'names: [bolt', 'data.yaml: not YAML'),
        ('yolo', 'names: [bolt, nut]', '', 'no names of classes (data.yaml with names, or classes.txt)'),
        ('yolo', 'valid/images', 'train/images', '3 images of its val in train as well, as train0'),
        ('yolo', '0.1 0.1 0.5', 'nan 0.1 0.5', 'coordinates are not shares'),
        ('yolo', '0.1 0.1 0.5', '30 0.1 0.5', 'coordinates are not shares'),
        ('yolo', '0.1 0.1 0.5', '0.1 0.5', 'neither a box nor corners'),
        ('yolo', '0.1 0.1 0.5', 'x 0.1 0.5', 'could not convert'),
        ('labelme', '"imageHeight": 20', '"imageHeight": 2000000000', 'its annotations are of'),
        ('labelme', '[[1, 1], ', '[[NaN, 1], ', 'no numbers'),
        ('labelme', '[[1, 1], [5, 1], [5, 5], [1, 5]]', '[[1, 1]]', 'fewer than three'),
        ('labelme', '"label": "nut"', '"label": null', 'not a name'),
        ('cvat', '<?xml version="1.0" encoding="utf-8"?>', '<!DOCTYPE a [<!ENTITY b "c">]>', 'document type'),
        ('cvat', '</annotations>', '<track/></annotations>', 'of a video'),
        ('cvat', '3.00,2.00', 'nan,2.00', 'no numbers'),
        ('cvat', 'rle="1, 2, 1, 2"', 'rle="1, 2, 99999999999"', 'add up'),
        ('cvat', 'left="7"', 'left="28"', 'out of the image'),
        ('coco-panoptic', '"id": 513', '"id": 514', 'no pixel of its segment'),
        ('coco-panoptic', '"images"', '"image"', 'no list "images"'),
        ('coco-panoptic', '"image_id": 7', '"image_id": [7]', 'annotation 0: its image_id is [7], neither text nor'),
    ],
)
def test_what_cannot_be_used_is_one_line(name, old, new, message, tmp_path):
    folder = bad(tmp_path / 'a', name, **{old: new})
    try:
        said = str(convert_data(sources=[folder], out=tmp_path / 'mine'))
    except InputError as error:
        said = str(error)
    assert message in said
