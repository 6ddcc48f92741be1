"""What the repository's host reads: workflows, templates, licence, citation. Their commands and files exist."""

import re
import shlex
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest
import yaml

import mmagg

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = {path.name: yaml.safe_load(path.read_text()) for path in sorted((ROOT / '.github/workflows').glob('*.yml'))}
JOBS = [(name, job) for name, content in WORKFLOWS.items() for job in content['jobs']]
RUNS = [
    (f'{name}: {job}', step['run'])
    for name, job in JOBS
    for step in WORKFLOWS[name]['jobs'][job]['steps']
    if 'run' in step
]
# Of the system, of GitHub's machines, and the names that workflows give the environments they make.
COMMANDS = {'python', 'cd', 'grep', 'make', '.venv/bin/python', 'clean/bin/mmagg', '$RUNNER_TEMP/clean/bin/python'}
MODULES = {'pip', 'ruff', 'mypy', 'build', 'pytest', 'coverage', 'venv'}
METHODS = sorted(path.parent.name for path in (ROOT / 'configs').glob('*/metafile.yml'))


@pytest.mark.parametrize('name, job', JOBS)
def test_a_job_is_whole(name, job):
    content = WORKFLOWS[name]
    assert content['permissions'] == {'contents': 'read'}  # no more than a job asks for
    assert set(content[True]) <= {'push', 'pull_request'}  # YAML reads `on` as true
    job = content['jobs'][job]
    assert job.get('needs', next(iter(content['jobs']))) in content['jobs']
    for step in job['steps']:
        assert ('run' in step) != ('uses' in step)
        assert re.fullmatch(r'[\w-]+/[\w-]+@[\w/.]+', step.get('uses', 'a/b@v1'))
    # Each job that runs something of the clone has it.
    if any('run' in step for step in job['steps']):
        assert job['steps'][0]['uses'].startswith('actions/checkout@')


@pytest.mark.parametrize('job, text', RUNS)
def test_commands_of_workflows_exist(job, text):
    text = re.sub(r'\$\{\{[^}]*\}\}', 'x', text)
    assert subprocess.run(['bash', '-n', '-c', text]).returncode == 0
    for command in re.split(r'&&|\|', text):
        words = [word for word in shlex.split(command) if not re.match(r'[A-Z_]+=', word)]
        program, *arguments = words
        assert program in COMMANDS
        if program == 'make':
            done = subprocess.run(['make', '-n', *arguments], cwd=ROOT, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
        elif arguments[:1] == ['-m']:
            assert arguments[1] in MODULES
        files = [word for word in words if re.fullmatch(r'[.\w/-]+\.(txt|cfg|md|toml)', word)]
        assert not [file for file in files if not (ROOT / file).exists()]


def test_wheel_and_notebooks_are_tested_with_each_python():
    """They are among the slow tests, which no workflow runs as a whole."""
    runs = ' '.join(step.get('run', '') for step in WORKFLOWS['ci.yml']['jobs']['test']['steps'])
    assert 'pytest -m slow tests/test_installed.py tests/test_notebooks.py' in runs


def test_a_release_is_published_without_a_password():
    publish = WORKFLOWS['release.yml']['jobs']['publish']
    assert publish['permissions'] == {'id-token': 'write'}
    assert publish['environment'] == 'release'
    assert 'password' not in (ROOT / '.github/workflows/release.yml').read_text().replace('without a password', '')
    assert f'## {mmagg.__version__}' in (ROOT / 'docs/changelog.md').read_text()


def test_tested_versions_of_python_are_those_of_the_classifiers():
    jobs = WORKFLOWS['ci.yml']['jobs']
    (oldest,) = [
        step['with']['python-version'] for step in jobs['oldest']['steps'] if 'python-version' in step.get('with', ())
    ]
    tested = {*jobs['test']['strategy']['matrix']['python'], oldest}
    setup = ConfigParser()
    setup.read(ROOT / 'setup.cfg')
    named = set(re.findall(r'Python :: (\d\.\d+)', setup['metadata']['classifiers']))
    assert named == tested
    assert setup['options']['python_requires'] == f'>={oldest}'


def test_hooks_have_the_pinned_ruff():
    repositories = yaml.safe_load((ROOT / '.pre-commit-config.yaml').read_text())['repos']
    (repository,) = (r for r in repositories if r['repo'] != 'local')
    assert f'ruff=={repository["rev"].removeprefix("v")}\n' in (ROOT / 'requirements.txt').read_text()


@pytest.mark.parametrize('path', sorted((ROOT / '.github/ISSUE_TEMPLATE').glob('*.yml')), ids=lambda path: path.name)
def test_issue_forms_are_whole(path):
    form = yaml.safe_load(path.read_text())
    if path.name == 'config.yml':
        assert set(form) == {'blank_issues_enabled'}
        return
    assert {'name', 'description', 'body'} <= set(form)
    ids = [part['id'] for part in form['body'] if part['type'] != 'markdown']
    assert len(ids) == len(set(ids)) > 0
    for part in form['body']:
        assert part['type'] in {'markdown', 'textarea', 'input', 'checkboxes'}
        assert ('value' if part['type'] == 'markdown' else 'label') in part['attributes']


def test_the_licence_is_apaches():
    text = (ROOT / 'LICENSE').read_text()
    assert 'Apache License\n                           Version 2.0, January 2004' in text
    assert 'END OF TERMS AND CONDITIONS' in text


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
    assert {'cff-version', 'message', 'title', 'authors', 'references'} <= set(citation)
    assert citation['version'] == mmagg.__version__
    assert citation['license'] == 'Apache-2.0'


@pytest.mark.parametrize('method', METHODS)
def test_a_method_is_cited_as_in_the_citation_file(method):
    """Title and year stand in CITATION.cff, and the title at the head of the README."""
    page = (ROOT / 'configs' / method / 'README.md').read_text()
    entries = re.findall(r'```bibtex\n(@\w+\{\w+,\n(?:  \w+ = \{.*\},?\n)+\})\n```', page)
    assert entries
    for entry in entries:
        fields = dict(re.findall(r'^  (\w+) = \{(.*)\},?$', entry, re.MULTILINE))
        assert {'title', 'author', 'year'} < set(fields)
        title = re.sub(r'\\textsuperscript\{(.*?)\}', r'\1', fields['title']).replace('{', '').replace('}', '')
        assert title in page.replace('²', '2').replace('\n> ', ' ')[:600]
        references = yaml.safe_load((ROOT / 'CITATION.cff').read_text())['references']
        (reference,) = [one for one in references if one['title'] == title]
        assert str(reference['year']) == fields['year']
        authors = [
            f'{one["family-names"]}, {one["given-names"]}' if 'family-names' in one else one['name']
            for one in reference['authors']
        ]
        assert ' and '.join(authors) == fields['author']


def test_sources_of_weights_have_a_row_of_licences():
    """Each address that configs load weights from, and each converter."""
    table = (ROOT / 'docs/licences.md').read_text()
    texts = ''.join(path.read_text() for path in (ROOT / 'configs').rglob('*.py'))
    assert not [
        name
        for name in re.findall(r"'((?:torchvision|open-mmlab|https)://[\w/.-]+)'", texts)
        if f'`{name}`' not in table
    ]
    for path in (ROOT / 'tools').glob('*_converters/*.py'):
        assert path.name in table or path.name in ('convert_data.py', 'make_shapes.py', 'split_coco.py')
