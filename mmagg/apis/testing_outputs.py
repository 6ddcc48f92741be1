"""What a test writes: its files are refused before the work where they cannot be written."""

from pathlib import Path

from mmagg.apis.report import RunReport
from mmagg.evaluation.results import result_files
from mmagg.io.errors import InputError
from mmagg.io.files import check_file, check_folder


def files_of(out: Path | None) -> list[Path]:
    """The files that ``--out`` writes, the named one first."""
    if out is None:
        return []
    return [out, *(result_files(out).values() if out.suffix == '.json' else ())]


def check_outputs(out: Path | None, show_dir: Path | None, report: Path | None) -> None:
    """Refuse files and folders that cannot be written, or of which one is in another's way."""
    if out is not None and out.suffix not in ('.json', '.pkl', '.pickle'):
        raise InputError(f'--out {out}: the name must end in .json or .pkl')
    for flag, folder in (('--show-dir', show_dir), ('--report', report)):
        if folder is not None:
            check_folder(folder, flag)
            if out is not None and folder.resolve().is_relative_to(out.resolve()):
                raise InputError(f'--out {out}: is to be a folder by {flag} {folder}; name another file')
    reported = [report / name for name in RunReport.FILES] if report else []
    for flag, files in (('--out', files_of(out)), ('--report', reported)):
        for file in files:
            check_file(file, flag)
