"""Pipeline stage `sources`: for each stage and network, the code and packages that can change its result."""

from __future__ import annotations

from pathlib import Path

from resgrid.config.grid import GridParams
from resgrid.config.reading import load_params
from resgrid.names import parse_network
from resgrid.sources.manifest import write_manifests
from resgrid.terminal import console, run_command


def sources() -> None:
    """Write the manifests below sources/ for the networks of params.yaml's grid."""
    networks = load_params(GridParams).grid.network
    for path in write_manifests(Path(), [parse_network(name) for name in networks]):
        console.print(f"sources: {path} changed", markup=False)


if __name__ == "__main__":
    run_command(sources)
