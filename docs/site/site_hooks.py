"""What MkDocs calls while it builds: pages that are made, navigation, links."""

import re
from pathlib import Path

import api_pages
import command_pages
import method_pages
import notebook_pages
from line_breaks import with_breaks
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from page_links import PLACES, ROOT, linked, moved, place, with_references

MADE = {'notebooks/': notebook_pages, 'methods/': method_pages, 'commands/': command_pages, 'api/': api_pages}
# Pages that lie elsewhere; the home stands for the README.
SOURCES = [*method_pages.SOURCES, *(source for source in PLACES if source != 'README.md')]


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill the sections of the navigation that are made."""
    for entry in config.nav:
        for title, content in entry.items():
            if isinstance(content, str) and content in MADE:
                entry[title] = MADE[content].navigation()
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made or lie elsewhere, the style, and what pages link to."""
    for module in MADE.values():
        for uri, text in module.pages().items():
            files.append(File.generated(config, uri, content=text))
    for uri, picture in notebook_pages.pictures().items():
        files.append(File.generated(config, uri, content=picture))
    for source in SOURCES:
        files.append(File.generated(config, place(source), abs_src_path=str(ROOT / source)))
    files.append(File.generated(config, 'style.css', abs_src_path=str(ROOT / 'docs/site/style.css')))
    for file in list(files.documentation_pages()):
        for target in linked(file.content_string, source_of(file)):
            if place(target) not in files.src_uris and (ROOT / target).is_file():
                files.append(File.generated(config, place(target), abs_src_path=str(ROOT / target)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Links as they are on the site; names of the package lead to its pages. Output is shown as such.

    The home has no others beside it; the code of notebooks needs the room of the headings.
    """
    if page.is_homepage:
        page.meta['hide'] = ['navigation']
    if page.file.src_uri.startswith('notebooks/'):
        page.meta['hide'] = ['toc']
    markdown = re.sub('^```text$', '``` {.text .output .no-copy}', markdown, flags=re.MULTILINE)
    return with_references(moved(markdown, source_of(page.file), page.file.src_uri))


def on_page_content(html: str, **_: object) -> str:
    """Names in tables and commands break at good places."""
    return with_breaks(html)


def source_of(file: File) -> str:
    """The file of the repository that a page is from, or the place that it would have beside those of ``docs``."""
    path = Path(file.abs_src_path or '')
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else f'docs/{file.src_uri}'
