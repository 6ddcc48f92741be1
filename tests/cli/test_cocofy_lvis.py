"""tools/dataset_converters/cocofy_lvis.py as a user calls it."""

import json

import pytest

from mmagg.cli.main import COMMANDS, run

TOOL = 'dataset_converters/cocofy_lvis.py'
FIXTURES = 'data/eval_fixtures'


def test_fixture_is_reproduced(run, shared, tmp_path):
    out = tmp_path / 'new' / 'cocofied.json'
    done = run(TOOL, shared / FIXTURES / 'lvis/lvis_val_100.json', out)
    assert done.returncode == 0, done.stderr
    assert f'435 of 977 annotations, 69 of 1230 categories, 100 images in {out}' in done.stdout
    expected = json.loads((shared / FIXTURES / 'cocofied/lvis_val_100_cocofied.json').read_text())
    assert json.loads(out.read_text()) == expected
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize(
    'content, message',
    [
        (None, 'No such file'),
        ('{', 'is not JSON'),
        ('{"images": [], "annotations": [], "categories": []}', 'none of the categories'),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "person"}]}', 'is not LVIS'),
    ],
)
def test_wrong_file_is_one_line_and_writes_nothing(content, message, tmp_path, capsys):
    source, out = tmp_path / 'in.json', tmp_path / 'out.json'
    if content is not None:
        source.write_text(content)
    assert run(COMMANDS['convert-lvis'], [str(source), str(out)]) == 2
    error = capsys.readouterr().err
    assert error.startswith('error: ')
    assert error.count('\n') == 1
    assert message in error
    assert str(source) in error
    assert not out.exists()


def test_outputs_that_cannot_be_are_refused(tmp_path, capsys):
    source = tmp_path / 'in.json'
    source.write_text('{}')
    assert run(COMMANDS['convert-lvis'], [str(source), str(source)]) == 2
    assert 'is an input' in capsys.readouterr().err
    assert run(COMMANDS['convert-lvis'], [str(source), str(tmp_path)]) == 2
    assert 'is a folder' in capsys.readouterr().err
    assert source.read_text() == '{}'
