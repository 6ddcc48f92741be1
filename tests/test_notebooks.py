"""The notebooks of the documentation: small, without errors or places of one machine, run from top to bottom."""

import re
import tempfile
from importlib.machinery import SourceFileLoader
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / 'docs/notebooks').glob('*.ipynb'))
LARGEST = 300 * 1024  # bytes
PLACES = re.compile(r'/(?:tmp|home|root|work|usr|opt|Users)/|[A-Z]:\\|localhost|\b\d+\.\d+\.\d+\.\d+\b')
METADATA = {
    'kernelspec': {'display_name': 'Python 3', 'language': 'python', 'name': 'python3'},
    'language_info': {'name': 'python'},
}
executed = SourceFileLoader('notebooks', str(ROOT / '.ci/notebooks')).load_module().executed

notebooks = pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)


def code(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == 'code']


def texts(cell: nbformat.NotebookNode) -> list[str]:
    """What a cell printed and returned, without pictures."""
    return [str(output.get('text') or output['data'].get('text/plain', '')) for output in cell.outputs]


def test_there_are_three():
    assert len(NOTEBOOKS) == 3


@notebooks
def test_it_is_well_formed_and_small(path):
    assert path.stat().st_size <= LARGEST
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata == METADATA
    assert not [cell.metadata for cell in notebook.cells if cell.metadata]
    assert notebook.cells[0].source.startswith('# ')


@notebooks
def test_its_outputs_are_those_of_one_run(path):
    cells = code(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == 'error' or output.get('name') == 'stderr']
    assert sum('image/jpeg' in output.get('data', {}) for output in outputs) >= 3
    assert not [text for cell in cells for text in texts(cell) if PLACES.search(text)]
    assert not [cell.source for cell in cells if PLACES.search(cell.source)]


@notebooks
def test_its_links_resolve(path):
    text = '\n'.join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == 'markdown')
    targets = re.findall(r'\]\(([^)#:]+)\)', text)
    assert not [target for target in targets if not (path.parent / target).exists()]


def test_a_run_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setenv('TMPDIR', str(tmp_path))
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    cell = nbformat.v4.new_code_cell('import tempfile; print(tempfile.mkdtemp())')
    notebook = nbformat.v4.new_notebook(cells=[cell])
    path = tmp_path / 'some.ipynb'
    nbformat.write(notebook, path)
    (cell,) = executed(path).cells
    assert cell.outputs[0].text.startswith(str(tmp_path))
    assert [one for one in tmp_path.iterdir() if one.is_dir()] == []


@pytest.mark.slow
@notebooks
def test_it_runs_and_gives_as_many_outputs(path):
    """Figures of a training may differ between machines."""
    cells = [cell for cell in executed(path).cells if cell.cell_type == 'code']
    assert [len(cell.outputs) for cell in cells] == [len(cell.outputs) for cell in code(path)]
    assert not [output for cell in cells for output in cell.outputs if output.output_type == 'error']
