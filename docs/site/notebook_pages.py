"""A page for each notebook: its cells, and the outputs that are kept in its file; nothing is run."""

import base64
import json
from functools import cache

from page_links import ROOT

# In the order of reading.
NAMES = ['first_steps', 'own_data', 'aggmask_inside']
INTRODUCTION = """# Notebooks

Whole runs with all that they print and draw, each a minute or two on two CPU cores and without a download. In a clone
they lie in `docs/notebooks`.
"""
DOWNLOAD = '\n\n<a href="{0}.ipynb" download>Download this page as a notebook</a>\n\n'


@cache
def converted(name: str) -> tuple[str, dict[str, bytes]]:
    """A notebook in Markdown, and its pictures by their place on the site."""
    cells = json.loads((ROOT / f'docs/notebooks/{name}.ipynb').read_text(encoding='utf-8'))['cells']
    text, pictures, heading = [], {}, ''
    for cell in cells:
        source = ''.join(cell['source'])
        if cell['cell_type'] == 'markdown':
            heading = next((line.lstrip('# ') for line in source.splitlines() if line.startswith('#')), heading)
            text.append(source)
        else:
            text.append(f'````python\n{source}\n````')
        for output in cell.get('outputs', ()):
            data = output.get('data', {})
            for kind in {'image/jpeg', 'image/png'} & data.keys():
                picture = f'{name}_{len(pictures) + 1}.{kind[6:]}'
                pictures[f'notebooks/{picture}'] = base64.b64decode(''.join(data[kind]))
                text.append(f'![{heading}]({picture})')
            if printed := ''.join(output.get('text') or (data.get('text/plain', '') if len(data) == 1 else '')):
                text.append(f'```text\n{printed.rstrip()}\n```')
    page = '\n\n'.join(text).replace('\n\n', DOWNLOAD.format(name), 1)
    return f'{page}\n', pictures


def pages() -> dict[str, str]:
    """The list of the notebooks, and the page of each."""
    text, found = [INTRODUCTION], {}
    for name in NAMES:
        found[f'notebooks/{name}.md'] = page = converted(name)[0]
        title, _, about, *_ = page.split('\n\n')
        text.append(f'## [{title[2:]}]({name}.md)\n\n{about}\n')
    return {'notebooks/index.md': '\n'.join(text), **found}


def pictures() -> dict[str, bytes]:
    """Those of all pages."""
    return {place: picture for name in NAMES for place, picture in converted(name)[1].items()}


def navigation() -> list:
    """The pages in the order of reading."""
    return ['notebooks/index.md', *(f'notebooks/{name}.md' for name in NAMES)]
