"""The pages of the documentation before they are built: in the navigation, with links that lead somewhere."""

import re
from pathlib import Path

import api_pages
import command_pages
import method_pages
import notebook_pages
import page_links
import pytest
import yaml

from mmagg.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ('', 'docs', '.github', '.github/ISSUE_TEMPLATE', 'configs/*')
PAGES = sorted({str(path.relative_to(ROOT)) for folder in FOLDERS for path in ROOT.glob(f'{folder}/*.md'.lstrip('/'))})
NAVIGATION = yaml.load((ROOT / 'docs/site/mkdocs.yml').read_text(), yaml.BaseLoader)[
    'nav'
]  # other tags are MkDocs' own
MADE = {'notebooks/': notebook_pages, 'methods/': method_pages, 'commands/': command_pages, 'api/': api_pages}


def in_blocks(text: str) -> str:
    """A page without what stands in fences."""
    return re.sub(r'^```.*?^```$', '', text, flags=re.DOTALL | re.MULTILINE)


def anchors(text: str) -> set[str]:
    """Those that GitHub and the site make of a page's headings."""
    headings = re.findall(r'^#+ (.+)$', in_blocks(text), re.MULTILINE)
    return {
        re.sub(r'[^\w\- ]', '', re.sub(r'\]\([^)]*\)', '', title)).strip().lower().replace(' ', '-')
        for title in headings
    }


def leaves(entries: list) -> list[str]:
    """The pages of a navigation."""
    found = []
    for entry in entries:
        for content in entry.values() if isinstance(entry, dict) else [entry]:
            found += leaves(content) if isinstance(content, list) else [content]
    return found


@pytest.mark.parametrize('page', PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """Files exist, from the page's place, and the headings that links name."""
    text = in_blocks((ROOT / page).read_text())
    for target, anchor in re.findall(r'\]\((?![a-z]+:)([^)#\s]*)(?:#([^)\s]+))?\)', text):
        file = (ROOT / page).parent / target if target else ROOT / page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file.read_text()), f'{target}#{anchor}'


@pytest.mark.parametrize(
    'heading, anchor',
    [('Two commands', 'two-commands'), ('A²-FPN, `x_y`: why?', 'a²-fpn-x_y-why'), ('[A](b.md) b', 'a-b')],
)
def test_anchors(heading: str, anchor: str) -> None:
    assert anchors(f'# {heading}\n') == {anchor}


def test_every_page_is_in_the_navigation() -> None:
    pages = {path.name for path in (ROOT / 'docs').glob('*.md')} | {'contributing.md', 'security.md'}
    assert sorted(leaves(NAVIGATION)) == sorted({*pages, *MADE})


def test_pages_that_are_made_are_in_the_navigation() -> None:
    for module in MADE.values():
        here = {*module.pages(), *(page_links.place(source) for source in getattr(module, 'SOURCES', ()))}
        assert sorted(leaves(module.navigation())) == sorted(here)


@pytest.mark.parametrize('name', COMMANDS)
def test_a_command_has_a_page(name: str) -> None:
    text = command_pages.pages()[f'commands/{name}.md']
    for action in COMMANDS[name].parser()._actions:
        assert all(f'`{flag}' in text or f', {flag}' in text for flag in action.option_strings)
    assert text.count(f'# mmagg {name}\n') == 1
    assert '%(' not in text
    assert (ROOT / re.search(r'In a clone: `python (\S+)`', text)[1]).is_file()
    assert f'({name}.md)' in command_pages.pages()['commands/index.md']


def test_a_module_has_a_page() -> None:
    """But for those of the commands, whose pages are their help."""
    pages = api_pages.pages()
    files = {
        str(path.relative_to(ROOT / 'mmagg')) for path in (ROOT / 'mmagg').glob('**/*.py') if '.mim' not in str(path)
    }
    files = {file for file in files if not file.startswith('cli/')} - {'__init__.py', '__main__.py'}
    made = {
        f'api/{file.removesuffix("__init__.py")}index.md' if '__init__' in file else f'api/{file[:-3]}.md'
        for file in files
    }
    assert made | {'api/index.md'} == set(pages)


@pytest.mark.parametrize(
    'text, source, uri, expected',
    [
        ('[a](../../README.md#testing)', 'configs/solo/README.md', 'methods/solo.md', '[a](../index.md)'),
        ('![a](contours.jpg)', 'configs/solo/README.md', 'methods/solo.md', '![a](../configs/solo/contours.jpg)'),
        ('[a](../aggmask/README.md#x)', 'configs/solo/README.md', 'methods/solo.md', '[a](aggmask.md#x)'),
        ('[a](docs/versions.md), [b](LICENSE)', 'CONTRIBUTING.md', 'contributing.md', '[a](versions.md), [b](LICENSE)'),
        ('[a](../mmagg/ops/rle.py)', 'docs/faq.md', 'faq.md', '[a](api/ops/rle.md)'),
        ('[a](../mmagg/cli/make_demo.py)', 'docs/faq.md', 'faq.md', '[a](commands/make-demo.md)'),
        ('[a](notebooks/own_data.ipynb)', 'docs/faq.md', 'faq.md', '[a](notebooks/own_data.md)'),
        ('[a](../mmagg), [b](../mmagg/ops)', 'docs/faq.md', 'faq.md', '[a](api/index.md), [b](api/ops/index.md)'),
        ('[a](https://a.b/c), [b](#c), x[0](y)', 'docs/faq.md', 'faq.md', '[a](https://a.b/c), [b](#c), x[0](y)'),
    ],
)
def test_links_are_those_of_the_site(text: str, source: str, uri: str, expected: str) -> None:
    assert page_links.moved(text, source, uri) == expected


def test_names_of_an_equation_are_links() -> None:
    text = page_links.with_references(
        '| Eq. 5 | `mmagg/ops/rle.py` | `A.b`, as `c=1` |\n`mmagg.apis` `mmagg` ``a`b``\n'
    )
    assert re.findall('identifier="([^"]+)"', text) == [
        'mmagg.ops.rle',
        'mmagg.ops.rle.A.b',
        'mmagg.ops.rle.c=1',
        'mmagg.apis',
    ]
    assert text.endswith('`mmagg` ``a`b``\n')


def test_text_is_not_markdown() -> None:
    assert page_links.plain('(B*Q, C) <a> x_i [1] `(B*Q)`') == r'(B\*Q, C) &lt;a> x\_i \[1\] `(B*Q)`'
