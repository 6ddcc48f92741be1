"""Notebooks as the site shows them."""

import base64
import json
from pathlib import Path

import notebook_pages
import pytest

ROOT = Path(__file__).resolve().parents[2]
PICTURE = b'not really a picture'
CELLS = [
    {'cell_type': 'markdown', 'source': ['# A title\n', '\n', 'What it is.\n', 'Really.']},
    {'cell_type': 'code', 'source': ['import this\n', 'this'], 'outputs': []},
    {
        'cell_type': 'code',
        'source': ["print('x')\n", 'show()'],
        'outputs': [
            {'output_type': 'stream', 'name': 'stdout', 'text': ['x\n', 'y\n']},
            {
                'output_type': 'execute_result',
                'data': {'image/jpeg': base64.b64encode(PICTURE).decode() + '\n', 'text/plain': ['<Image>']},
            },
            {'output_type': 'execute_result', 'data': {'text/plain': ['1', '2']}},
        ],
    },
]
PAGE = """# A title

<a href="short.ipynb" download>Download this page as a notebook</a>

What it is.
Really.

````python
import this
this
````

````python
print('x')
show()
````

```text
x
y
```

![A title](short_1.jpeg)

```text
12
```
"""


def test_cells_and_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / 'docs/notebooks'
    folder.mkdir(parents=True)
    (folder / 'short.ipynb').write_text(json.dumps({'cells': CELLS}))
    monkeypatch.setattr(notebook_pages, 'ROOT', tmp_path)
    page, pictures = notebook_pages.converted('short')
    assert page == PAGE
    assert pictures == {'notebooks/short_1.jpeg': PICTURE}


def test_all_notebooks_have_pages() -> None:
    names = [path.stem for path in (ROOT / 'docs/notebooks').glob('*.ipynb')]
    assert sorted(names) == sorted(notebook_pages.NAMES)
    pages, pictures = notebook_pages.pages(), notebook_pages.pictures()
    assert sum(page.count('](') for page in pages.values()) > len(pictures) > 9
    for name in names:
        assert f']({name}.md)' in pages['notebooks/index.md']
        assert pages[f'notebooks/{name}.md'].count(f'"{name}.ipynb" download') == 1
        assert '<IPython' not in pages[f'notebooks/{name}.md']


def test_formulas_are_text() -> None:
    """The site has nothing that sets TeX."""
    assert not [uri for uri, page in notebook_pages.pages().items() if '$$' in page or '\\text' in page]
