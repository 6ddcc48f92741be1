"""tools/analysis/paper_tables.py as a user calls it."""

import json
import re
import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mmagg.cli import paper_tables as command
from mmagg.cli.main import run
from mmagg.costs.published import A2FPN, AGGMASK, AGGMASK_TABLE, COARSER, FINER, MEINST, NONE_OF_SOLO, SOLO
from mmagg.experiments.object_masks import read_masks
from mmagg.models.masks.boxed.mask_codec import EPS
from mmagg.models.masks.boxed.pca_codec import Dictionary

COMPONENTS, PIXELS = 101, 28**2


@pytest.fixture(autouse=True)
def _offline(monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError('nothing may be downloaded')

    monkeypatch.setattr(socket.socket, 'connect', refuse)


@pytest.fixture(scope='module')
def annotations(shapes_folder: Path) -> Path:
    return shapes_folder / 'annotations/instances_train.json'


@pytest.fixture(scope='module')
def dictionary() -> Dictionary:
    """A code that keeps some of the logits, and one component more than is asked for."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.linalg.qr(torch.randn(PIXELS, COMPONENTS, generator=generator)).Q.t()
    ones = torch.ones(1, COMPONENTS)
    return Dictionary(rows[None], torch.zeros(1, PIXELS), ones, ones / COMPONENTS)


def tables(*arguments: object) -> int:
    return run(command, [str(x) for x in arguments])


def rows(text: str) -> dict[str, list[str]]:
    """The cells of all tables, by the first one of their row."""
    lines = [[cell.strip() for cell in line.strip('|').split('|')] for line in text.splitlines() if line[:1] == '|']
    return {cells[0]: cells[1:] for cells in lines if '---' not in cells[0] and cells[0] != 'row'}


def test_a2fpn_is_met(tmp_path: Path, capsys, monkeypatch) -> None:
    few = replace(A2FPN, figures=A2FPN.figures[:2] + A2FPN.figures[4:6])  # all: tests/costs/test_flops_of_tables.py
    monkeypatch.setattr('mmagg.costs.paper_tables.TABLES', (few, NONE_OF_SOLO))
    monkeypatch.setattr('mmagg.cli.output.BAR_SECONDS', 0)
    out = tmp_path / 'new' / 'tables.md'
    assert tables('--only', 'a2fpn', '--out', out) == 0
    captured = capsys.readouterr()
    found = rows(out.read_text())
    assert len(found) == 4
    assert all(paper == measured and verdict == 'same' for _, paper, measured, verdict in found.values())
    assert found['A²-FPN, FLOPs'][:2] == ['`a2fpn/mask-rcnn_r50_a2fpn_1x_coco.py`', '375.39 G']
    assert captured.out.endswith(f'{out.read_text()}\nwritten to {out}\n')
    assert '2/2' in captured.err, 'a progress bar'
    assert '## SOLO' not in captured.out


def test_aggmask_is_met_in_part_and_solo_prints_nothing(capsys, monkeypatch) -> None:
    figures = [figure for figure in AGGMASK_TABLE.figures if figure.count in (SOLO, AGGMASK, FINER)]
    few = replace(AGGMASK_TABLE, figures=tuple(figures))  # as few models as can be
    monkeypatch.setattr('mmagg.costs.paper_tables.TABLES', (few, NONE_OF_SOLO))
    assert tables('--only', 'aggmask', 'solo') == 0
    text = capsys.readouterr().out
    assert re.findall('^## (.*)$', text, flags=re.MULTILINE) == ['AggMask, Table 4 (SOLO R-101)', 'SOLO']
    found = rows(text)
    same = {name for name, cells in found.items() if cells[-1] == 'same'}
    assert same == {'SOLO, parameters', '+cls over AggMask, FLOPs'}
    assert found['AggMask, parameters'][1:] == ['55.4 M', '55.33 M', '-0.07 (-0.1%)']
    assert found['SOLO, FLOPs'][1] == '422.8 G'
    assert found['SOLO, FLOPs'][2].startswith('421.')  # 800 x 1216; the paper has an average
    assert 'Cannot be matched' in text


def test_meinst_with_a_dictionary(annotations, dictionary, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr('mmagg.costs.paper_tables.TABLES', (replace(MEINST, figures=MEINST.figures[:2]),))
    codec = tmp_path / 'codec.npz'
    dictionary.write(codec)
    assert tables('--only', 'meinst', '--codec', codec, '--ann', annotations) == 0
    found = rows(capsys.readouterr().out)
    _, paper, measured, verdict = found.pop('error at 100 dimensions')
    curve = [float(found.pop(f'error at {number} dimensions')[2].split()[0]) for number in (20, 40, 60, 80)]
    assert sorted(curve, reverse=True) == curve, 'more components, less error'
    assert len(found) == 2
    assert {cells[-1] for cells in found.values()} == {'same'}

    masks = read_masks(annotations, size=28, workers=1).pixels().flatten(1).numpy() > 0
    components = dictionary.components[0, :100].double().numpy()
    logits = np.where(masks, 1, -1) * np.log((1 - EPS) / EPS)
    decoded = logits @ components.T @ components >= 0
    ious = [(a & b).sum() / (a | b).sum() for a, b in ((masks, decoded), (~masks, ~decoded))]
    error = 100 * (1 - np.mean(ious))
    assert error > 3
    assert (paper, measured) == ('2.5 %', f'{error:.2f} %')
    assert verdict.startswith(f'{error - 2.5:+.2f} (')


def test_what_is_counted_on_a_data_set(annotations, capsys, monkeypatch) -> None:
    """Each table of it, for a pair of models that are small."""
    monkeypatch.setattr('mmagg.costs.paper_tables.TABLES', ())
    small = (('model.backbone.depth', 50), ('model.mask_head.mask_branch.num_convs', 1))
    models = {'SOLO': (replace(SOLO, options=small), 422.8), '-mask': (replace(COARSER, options=small), 390.5)}
    monkeypatch.setattr('mmagg.costs.dataset_tables.AGGMASK_AVERAGES', models)
    assert tables('--ann', annotations, '--only', 'aggmask', 'meinst', 'solo') == 0
    text = capsys.readouterr().out
    assert re.findall('^## (.*)$', text, flags=re.MULTILINE) == [
        'AggMask, Table 4: FLOPs averaged over a data set',
        'AggMask, Fig. 4: FLOPs of the head by level',
        'MEInst, Sec. 4.1 and Fig. 5: reconstruction error',
        'SOLO, Sec. 1 and 2.3: objects, pairs of them, and their cells',
    ]
    found = rows(text)
    assert found['SOLO, FLOPs'][1] == '422.8 G'
    assert found['pairs with centres more than 30 pixels apart'][1] == '98.3 %'
    assert found['positive cells per object'][1] == '3.0'
    assert float(found['-mask'][0]) < float(found['SOLO'][0]), 'fewer masks on the finest level'
    assert any(row.startswith('error at ') for row in found)


def test_a_share_of_no_pairs_has_no_row(annotations, tmp_path: Path, capsys) -> None:
    content = json.loads(annotations.read_text())
    alone = tmp_path / 'alone.json'
    alone.write_text(json.dumps({**content, 'annotations': content['annotations'][:1]}))
    assert run(command, ['--only', 'solo', '--ann', str(alone)]) == 0
    out = capsys.readouterr().out
    assert 'positive cells per object' in out
    assert 'pairs with' not in out


@pytest.mark.parametrize(
    'argv, message',
    [
        (['--out', '{folder}'], 'is a folder; name a file'),
        (['--ann', '{missing}'], 'missing.json: no such file'),
        (
            ['--ann', '{ann}', '--only', 'a2fpn', 'blendmask'],
            '--ann: .* aggmask, meinst, solo, which --only leaves out',
        ),
        (['--codec', '{codec}'], '--codec: give the annotation file, too'),
        (['--codec', '{codec}', '--ann', '{ann}', '--only', 'solo'], 'which --only leaves out'),
        (['--codec', '{codec}', '--ann', '{missing}'], 'missing.json: no such file'),
        (['--codec', '{ann}', '--ann', '{ann}'], r'no \.npz of arrays'),
        (['--codec', '{small}', '--ann', '{ann}'], 'has 60 components of 784 pixels for 1 classes; wanted are 100'),
        (['--codec', '{codec}', '--ann', '{empty}', '--only', 'meinst'], 'empty.json is not COCO format'),
    ],
)
def test_bad_input_is_one_line(argv, message, annotations, dictionary, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr('mmagg.costs.paper_tables.TABLES', ())
    names = dict(folder=tmp_path, ann=annotations, missing=tmp_path / 'missing.json') | {
        name: tmp_path / f'{name}.{suffix}' for name, suffix in (('codec', 'npz'), ('small', 'npz'), ('empty', 'json'))
    }
    dictionary.write(names['codec'])
    dictionary.first(60).write(names['small'])
    names['empty'].write_text('{}')
    assert tables(*(word.format(**names) for word in argv)) == 2
    captured = capsys.readouterr()
    assert captured.out == ''
    assert re.search(f'^error: .*{message}', captured.err.splitlines()[-1])


def test_unknown_papers_are_refused(capsys) -> None:
    with pytest.raises(SystemExit) as stopped:
        tables('--only', 'yolact')
    assert stopped.value.code == 2
    assert 'argument --only' in capsys.readouterr().err


@pytest.mark.slow
def test_the_script_starts_from_anywhere(run, tmp_path: Path) -> None:
    done = run('analysis/paper_tables.py', '--out', tmp_path)
    assert done.returncode == 2
    assert 'is a folder' in done.stderr.splitlines()[-1]
