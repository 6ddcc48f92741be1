"""Where the files of the repository are on the site, and the links between them."""

import posixpath
import re
from os.path import normpath
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# A target in parentheses, but for what follows its '#'.
LINK = re.compile(r'(?<=\]\()(?![a-z]+:)([^)#\s]+)(#[^)\s]*)?(?=\))')
SPAN = re.compile(r'(?<!`)`([^`\n]+)`(?!`)')
PLACES = {'README.md': 'index.md', 'CONTRIBUTING.md': 'contributing.md', 'SECURITY.md': 'security.md'}
# Folders and files that have a page that is made.
MADE = {
    r'mmagg': 'api/index.md',
    r'mmagg/cli': 'commands/index.md',
    r'mmagg/cli/(\w+)\.py': 'commands/{}.md',
    r'mmagg/([\w/]+)\.py': 'api/{}.md',
    r'mmagg/([\w/]+)': 'api/{}/index.md',
    r'docs/notebooks': 'notebooks/index.md',
    r'docs/notebooks/(\w+)\.ipynb': 'notebooks/{}.md',
    r'configs': 'methods/index.md',
    r'configs/(\w+)/README\.md': 'methods/{}.md',
}
# The tables of the papers' equations: an equation, its file, its names.
ROW = re.compile(r'^(\|[^|\n]*\| )`(mmagg/[\w/]+)\.py`( \| )([^|\n]*)(?=\|$)', re.MULTILINE)


def place(path: str) -> str:
    """The page, or the copy, of a file of the repository; both as paths from their roots."""
    for pattern, page in MADE.items():
        if found := re.fullmatch(pattern, path):
            name = found[1] if found.groups() else ''
            return page.format(name.replace('_', '-') if page.startswith('commands/') else name)
    return PLACES.get(path, path.removeprefix('docs/'))


def linked(text: str, source: str) -> list[str]:
    """The files of the repository that the page ``source`` links to, as paths from its root."""
    return [normpath(posixpath.join(posixpath.dirname(source), target)) for target, _ in LINK.findall(text)]


def moved(text: str, source: str, uri: str) -> str:
    """The text of the page ``source`` with the links that it has as ``uri`` of the site."""

    def link(found: re.Match) -> str:
        (target,) = linked(f']({found[1]})', source)
        if not (ROOT / target).exists():
            return found[0]
        # The site's home stands for the README, but has other sections.
        anchor = '' if target == 'README.md' else found[2] or ''
        return posixpath.relpath(place(target), posixpath.dirname(uri) or '.') + anchor

    return LINK.sub(link, text)


def with_references(text: str) -> str:
    """Files and names of the package in backticks lead to their place in the Python pages, where there is one."""

    def names(row: re.Match) -> str:
        module = row[2].replace('/', '.')
        defined = SPAN.sub(lambda name: reference(f'{module}.{name[1]}', name[1]), row[4])
        return f'{row[1]}{reference(module, f"{row[2]}.py")}{row[3]}{defined}'

    def span(found: re.Match) -> str:
        path = re.fullmatch(r'(mmagg/[\w/]+)\.py|(mmagg(?:\.\w+)+)', found[1])
        return reference((path[1] or path[2]).replace('/', '.'), found[1]) if path else found[0]

    return SPAN.sub(span, ROW.sub(names, text))


def reference(path: str, text: str) -> str:
    """A link to a name of Python that is code only where there is no such page."""
    return f'<autoref optional identifier="{path}"><code>{plain(text)}</code></autoref>'


def plain(text: str) -> str:
    """Text in which no character is Markdown's or HTML's, but for backticks."""
    parts = re.split(r'(`+[^`]+`+)', text)
    parts[::2] = [re.sub(r'([*_\[\]|#{}])', r'\\\1', part).replace('<', '&lt;') for part in parts[::2]]
    return ''.join(parts)
