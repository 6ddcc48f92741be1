"""The files that a config has been read from."""

from pathlib import Path

from mmengine.config import Config

from mmagg.apis.config import CONFIG_SUFFIXES


def base_files(cfg: Config) -> list[Path]:
    """The files that the config's own is based on by ``_base_``, directly or not.

    mmengine does not list them, but writes the name of each above its text.
    """
    named = (Path(line) for line in (cfg.text or '').splitlines() if line.endswith(CONFIG_SUFFIXES))
    return [path for path in named if path.is_file() and not (cfg.filename and path.samefile(cfg.filename))]
