"""Detect that a local image source has changed since its download, by the names, sizes and times of its files.

DVC can't watch files outside the repository, so the stage `download` would stay up to date.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from resgrid.artifacts.files import sha256_of_text, state_folder, write_atomically
from resgrid.config.data import DataConfig
from resgrid.data.fetching.image_folder import image_names
from resgrid.data.fetching.raw_files import is_url
from resgrid.datasets import IMAGEFOLDER


def keep_source_state(config: DataConfig) -> None:
    """Record the state of a local image source; other sources have checksums."""
    if (path := _local_source(config)) is not None and path.exists():
        write_atomically(_record(path), _state(path, config).encode())


def source_changed(config: DataConfig) -> bool:
    """Return whether a local image source differs from its recorded state; False if none was recorded."""
    path = _local_source(config)
    if path is None or not _record(path).exists():
        return False
    try:
        return _record(path).read_text(encoding="utf-8") != _state(path, config)
    except (ValueError, OSError):
        return True  # `download` names the problem


def _local_source(config: DataConfig) -> Path | None:
    source = str(config.source)
    return None if config.name != IMAGEFOLDER or is_url(source) else Path(source).expanduser().absolute()


def _record(source: Path) -> Path:
    return state_folder() / "data-sources" / sha256_of_text(str(source))[:16]


def _state(path: Path, config: DataConfig) -> str:
    return sha256_of_text("\n".join(_lines(path, config)))


def _lines(path: Path, config: DataConfig) -> Iterator[str]:
    names = sorted(image_names(path, config.follow_links)) if path.is_dir() else [""]
    for name in names:
        status = (path / name).stat()
        yield name if name.endswith("/") else f"{name} {status.st_size} {status.st_mtime_ns}"
