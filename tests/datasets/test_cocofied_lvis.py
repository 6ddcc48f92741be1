"""LVIS restricted to COCO's categories: the table, the rule, and what is refused."""

import copy
import json
from collections import Counter

import pytest
from mmdet.datasets import CocoDataset

from mmagg.datasets.cocofied_lvis import COCO_IDS, COCO_SYNSETS, cocofied, read_cocofied, read_lvis

FIXTURES = 'data/eval_fixtures'


def _lvis() -> dict:
    """Two images; a tie (COCO 32) and a baby (COCO 1) among what COCO does not have."""
    synsets = {3: 'acorn.n.01', 5: 'necktie.n.01', 8: 'person.n.01', 9: 'cat.n.01', 10: 'dog.n.01', 11: 'zither.n.01'}
    annotation = {'bbox': [1, 1, 2, 2], 'area': 4, 'segmentation': [[1, 1, 3, 1, 3, 3, 1, 3]]}
    image = {'height': 6, 'width': 8}
    return {
        'info': {'version': 'any'},
        'images': [
            {'id': 70, 'neg_category_ids': [3, 9], 'not_exhaustive_category_ids': [], **image},
            {'id': 71, 'neg_category_ids': [11], 'not_exhaustive_category_ids': [11, 5], **image},
        ],
        'annotations': [
            {'id': 20 + i, 'image_id': image_id, 'category_id': category_id, **annotation}
            for i, (image_id, category_id) in enumerate([(70, 3), (70, 8), (71, 11), (71, 5), (70, 8)])
        ],
        'categories': [{'id': i, 'name': f'n{i}', 'synset': s, 'frequency': 'f'} for i, s in synsets.items()],
    }


def test_table_is_that_of_lvis_and_detectron2(shared):
    table = json.loads((shared / FIXTURES / 'cocofied/coco80_to_lvis.json').read_text())
    assert list(COCO_SYNSETS) == [(row['coco_cat_id'], row['coco_name'], row['synset']) for row in table]
    lvis_api = json.loads((shared / FIXTURES / 'lvis/coco_to_synset.json').read_text())
    assert {name: (row['coco_cat_id'], row['synset']) for name, row in lvis_api.items()} == {
        name: (coco_id, synset) for coco_id, name, synset in COCO_SYNSETS
    }


def test_names_are_mmdets_classes_in_order():
    assert tuple(COCO_IDS) == CocoDataset.METAINFO['classes']
    assert len(set(COCO_IDS.values())) == len({synset for *_, synset in COCO_SYNSETS}) == 80


def test_rule_on_a_small_file():
    lvis = _lvis()
    before = copy.deepcopy(lvis)
    kept = cocofied(lvis)
    assert lvis == before
    assert [(a['id'], a['image_id'], a['category_id']) for a in kept['annotations']] == [
        (1, 70, 1),
        (2, 71, 32),
        (3, 70, 1),
    ]
    assert [(i['neg_category_ids'], i['not_exhaustive_category_ids']) for i in kept['images']] == [
        ([17], []),
        ([], [32]),
    ]
    # The cat is only negative, the dog is nowhere.
    assert [(c['id'], c['name']) for c in kept['categories']] == [(32, 'n5'), (1, 'n8'), (17, 'n9')]
    assert kept['info'] == lvis['info']
    assert cocofied(kept) == kept


def test_fixture(shared):
    kept = cocofied(read_lvis(shared / FIXTURES / 'lvis/lvis_val_100.json'))
    assert kept == json.loads((shared / FIXTURES / 'cocofied/lvis_val_100_cocofied.json').read_text())
    counts = json.loads((shared / FIXTURES / 'cocofied/lvis_val_100_cocofied_expected.json').read_text())
    assert (len(kept['images']), len(kept['annotations'])) == (counts['images'], counts['annotations_kept'])
    assert len(kept['categories']) == counts['categories_kept']
    of_category = Counter(str(a['category_id']) for a in kept['annotations'])
    assert of_category == counts['annotations_per_coco_id']
    assert sum(len(i['neg_category_ids']) for i in kept['images']) == counts['neg_entries_kept']
    assert sum(len(i['not_exhaustive_category_ids']) for i in kept['images']) == counts['not_exhaustive_entries_kept']


@pytest.mark.parametrize(
    'text, message',
    [
        ('{"images": [', 'is not JSON'),
        ('\x00\xff', 'is not JSON'),
        ('[1, 2]', 'no list of images'),
        ('{"images": []}', 'no list of annotations'),
        (json.dumps({**_lvis(), 'categories': [{'id': 1, 'name': 'person'}]}), 'categories have "synset"'),
        (json.dumps({**_lvis(), 'images': [{'id': 1, 'height': 4, 'width': 4}]}), 'images have "neg_category_ids"'),
        (json.dumps({**_lvis(), 'annotations': [7]}), 'annotations have "id"'),
    ],
)
def test_other_files_are_refused(text, message, tmp_path):
    path = tmp_path / 'a.json'
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_lvis(path)
    assert str(path) in str(caught.value)


def test_nothing_of_coco_is_refused():
    lvis = _lvis()
    for category in lvis['categories']:
        category['synset'] = 'acorn.n.01'
    with pytest.raises(ValueError, match='none of the categories'):
        cocofied(lvis)


def test_only_a_converted_file_counts_as_converted(tmp_path):
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(_lvis()))
    with pytest.raises(ValueError, match=r'category 3 is acorn.n.01.*mmagg convert-lvis'):
        read_cocofied(path)
    path.write_text(json.dumps(cocofied(_lvis())))
    assert read_cocofied(path) == cocofied(_lvis())


def test_codes_that_are_cut_off_are_refused(tmp_path):
    path, content = tmp_path / 'a.json', cocofied(_lvis())
    content['annotations'][1]['segmentation'] = {'size': [6, 8], 'counts': [9, 5]}
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r'a\.json: annotation 1: its run-length code is of 14 pixels, not 48'):
        read_cocofied(path)
