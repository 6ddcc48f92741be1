"""A page for each module of the package but the commands', from its docstrings; read, not imported."""

import ast
from pathlib import Path

from page_links import ROOT, plain, reference

PACKAGE = ROOT / 'mmagg'
NOT_SHOWN = ('cli', '.mim', '__main__.py', '__init__.py', '__pycache__')
INTRODUCTION = """# Python

Most of what a user calls is in [`mmagg.apis`](apis/index.md). The other rooms are the parts, in the order of
[Contributing](../contributing.md#the-rooms); a room imports only from those on floors below its own.
"""


def contents(folder: Path) -> list[Path]:
    """The modules and packages in a package."""
    found = [path for path in sorted(folder.iterdir()) if path.name not in NOT_SHOWN]
    return [path for path in found if path.suffix == '.py' or (path / '__init__.py').is_file()]


def name(path: Path) -> str:
    """A module's full name."""
    return '.'.join(path.relative_to(ROOT).with_suffix('').parts)


def uri(path: Path) -> str:
    """The page of a module."""
    place = Path('api') / path.relative_to(PACKAGE)
    return str(place / 'index.md' if path.is_dir() else place.with_suffix('.md'))


def tree(path: Path) -> ast.Module:
    """What a module's file says."""
    return ast.parse((path / '__init__.py' if path.is_dir() else path).read_text(encoding='utf-8'))


def summary(path: Path) -> str:
    """The first paragraph of a module's docstring, on one line."""
    return ' '.join((ast.get_docstring(tree(path)) or '').split('\n\n')[0].split())


def given(package: Path) -> dict[str, str]:
    """The names that are imported from a package, with the modules that define them."""
    found = {}
    for node in tree(package).body:
        if isinstance(node, ast.ImportFrom) and (node.module or '').startswith('mmagg.'):
            found |= {alias.asname or alias.name: f'{node.module}.{alias.name}' for alias in node.names}
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == 'PLACES':
            places = ast.literal_eval(node.value)
            found = {known: f'{name(package)}.{module}.{known}' for known, module in places.items()}
    return found


def table(paths: list[Path], base: Path) -> list[str]:
    """The modules with their summaries; links from the page of ``base``."""
    rows = [
        f'| [`{path.stem}`]({Path(uri(path)).relative_to(Path(uri(base)).parent)}) | {plain(summary(path))} |'
        for path in paths
    ]
    return ['<div class="named" markdown>\n', '| module | what it has |', '|---|---|', *rows, '\n</div>\n']


def pages() -> dict[str, str]:
    """The list of the rooms, and the page of each module."""
    found = {'api/index.md': '\n'.join([INTRODUCTION, *table(contents(PACKAGE), PACKAGE)])}
    folders = [PACKAGE]
    while folders:
        for path in contents(folders.pop()):
            found[uri(path)] = f'---\ntitle: {name(path)}\n---\n::: {name(path)}\n'
            if path.is_dir():
                folders.append(path)
                text = ['    options:\n      members: false\n\n', *table(contents(path), path)]
                if names := given(path):
                    links = ' · '.join(reference(place, known) for known, place in sorted(names.items()))
                    text += [f'\n`from {name(path)} import …`: {links}\n']
                found[uri(path)] += '\n'.join(text)
    return found


def navigation(folder: Path = PACKAGE) -> list:
    """The rooms, their rooms, their modules."""
    return [
        uri(folder),
        *({path.stem: navigation(path) if path.is_dir() else uri(path)} for path in contents(folder)),
    ]
