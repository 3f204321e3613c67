"""Manifests: for each pipeline stage and network, the files and packages that can change the result.

DVC's stages depend on these files under `sources/` instead of on code, so that a result goes stale only if its manifest
changes. Manifests are in git, so that a commit shows what it makes stale.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, NotRequired, Protocol, TypedDict

import resgrid
from resgrid.sources.closure import OBSERVERS, Closure, import_closure
from resgrid.sources.meaning import digest_of_file

# The root of the tree whose code runs: the repository, or the copy that a sweep runs cells on.
CODE_ROOT = Path(resgrid.__file__).resolve().parents[2]

STAGES = ("download", "preprocess", "report")
NETWORK_STAGES = ("train", "evaluate")

# The package of which a network needs one module, which it names.
FAMILIES = "resgrid.models.families"

# The parser of network names: in a network's manifest, what it returns for the network stands for its code.
_NAMES = "resgrid.names"

# Packages that compute or draw, and so can change a result: how code imports them, and how they are installed.
_DISTRIBUTIONS = {
    "PIL": "pillow",
    "jinja2": "jinja2",
    "matplotlib": "matplotlib",
    "numpy": "numpy",
    "pandas": "pandas",
    "pytorch_lightning": "pytorch-lightning",
    "safetensors": "safetensors",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "torch": "torch",
    "torchvision": "torchvision",
}

_REMEDY = "run `dvc repro --force sources`"


class Network(Protocol):
    """A parsed network name: a dataclass whose fields and public properties say which network it is."""

    @property
    def name(self) -> str:
        """Such as `resnet20-A`."""
        ...

    @property
    def module(self) -> str:
        """The module of its family, below `resgrid.models.families`."""
        ...


class Manifest(TypedDict):
    """The content of a manifest.

    Attributes:
        stage: the pipeline stage.
        network: what `describe` says of the network; missing for stages without one.
        packages: versions of the packages that compute, as installed.
        files: the digest of each file by its path from the repository's root.
    """

    stage: str
    network: NotRequired[dict[str, Any]]
    packages: dict[str, str]
    files: dict[str, str]


def manifest_path(stage: str, network: str | None = None) -> Path:
    """Return a manifest's path from the repository's root, such as `sources/train/resnet20-A.json`."""
    return Path("sources", stage, f"{network}.json") if network else Path("sources", f"{stage}.json")


def write_manifests(root: Path, networks: Iterable[Network]) -> list[Path]:
    """Write the manifests of all stages and networks below `sources`, and delete all others there.

    Files whose content stays the same are not touched.

    Returns:
        The paths of the files that were written or deleted, from `root`, sorted.

    Raises:
        OSError: a file can't be read or written.
        ValueError: a stage's code imports something that can't be followed, or a package is not installed.
    """
    manifests = {root / path: manifest for path, manifest in _all_manifests(root, networks)}
    changed = [path for path in (root / "sources").rglob("*.json") if path not in manifests]
    for path in changed:
        path.unlink()
    for path, manifest in manifests.items():
        text = json.dumps(manifest, indent=1) + "\n"
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    return sorted(path.relative_to(root) for path in changed)


def _all_manifests(root: Path, networks: Iterable[Network]) -> Iterator[tuple[Path, Manifest]]:
    for stage in STAGES:
        closure = import_closure(root / f"pipeline/{stage}.py", without=OBSERVERS)
        yield manifest_path(stage), _manifest(stage, closure)

    @cache
    def closure_with(stage: str, module: str) -> Closure:
        return import_closure(root / f"pipeline/{stage}.py", {FAMILIES: [module]}, (*OBSERVERS, _NAMES))

    for network in networks:
        for stage in NETWORK_STAGES:
            yield manifest_path(stage, network.name), _manifest(stage, closure_with(stage, network.module), network)


def _manifest(stage: str, closure: Closure, network: Network | None = None) -> Manifest:
    distributions = sorted(_DISTRIBUTIONS[name] for name in closure.packages & _DISTRIBUTIONS.keys())
    manifest = Manifest(stage=stage, packages={name: _installed(name) for name in distributions}, files=closure.files)
    return manifest if network is None else {"stage": stage, "network": describe(network), **manifest}


def describe(network: Network) -> dict[str, Any]:
    """Describe a network by its class, fields and public properties, in JSON's types.

    Names of other networks are left out: properties that end in `_counterpart`.
    """
    properties = inspect.getmembers(type(network), lambda member: isinstance(member, property))
    names = {*vars(network), *(name for name, _ in properties)}
    values = {name: getattr(network, name) for name in names if not name.startswith("_")}
    kept = {name: value for name, value in sorted(values.items()) if not name.endswith("_counterpart")}
    return {"class": type(network).__name__, **json.loads(json.dumps(kept))}


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        ValueError: the file is missing or damaged.
    """
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: not a readable manifest ({error}); {_REMEDY}") from error
    return manifest


def check_manifest(path: Path, root: Path, network: Network | None = None) -> Manifest:
    """Check that a manifest describes the files on disk and the packages installed, and return it.

    Only the files that it lists are read: a new import changes the digest of the file that imports.

    Args:
        path: the manifest, such as `sources/train/resnet20-A.json`.
        root: the root of the tree that contains the code, such as `CODE_ROOT`.
        network: the network that the manifest must describe.

    Raises:
        ValueError: something differs; the message names it.
    """
    manifest = read_manifest(path)
    differences = list(_differences(manifest, root, network))
    if differences:
        others = f" (and {len(differences) - 1} more)" if differences[1:] else ""
        raise ValueError(f"{path}: {differences[0]}{others}; {_REMEDY}")
    return manifest


def _differences(manifest: Manifest, root: Path, network: Network | None) -> Iterator[str]:
    for name, version in manifest["packages"].items():
        if (installed := _installed(name)) != version:
            yield f"{name} {version}: installed is {installed}"
    for name, digest in manifest["files"].items():
        if not (root / name).is_file():
            yield f"{name}: the file is missing"
        elif digest_of_file(root / name) != digest:
            yield f"{name}: the file has changed"
    if network is not None and manifest.get("network") != describe(network):
        yield f"{network.name}: the network's description has changed"


@cache
def _installed(distribution: str) -> str:
    """The version of an installed package, with its local part, such as `2.11.0+cpu`."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError as error:
        raise ValueError(f"{distribution}: not installed; install requirements.lock") from error


def raw_hashes(root: Path, files: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of each file's bytes, by its path from `root`."""
    return {name: hashlib.sha256((root / name).read_bytes()).hexdigest() for name in sorted(files)}
