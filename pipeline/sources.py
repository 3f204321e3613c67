"""Pipeline stage `sources`: for each stage and network, the code and packages that can change its result."""

from __future__ import annotations

from pathlib import Path

from ruamel.yaml import YAML

from resgrid.names import parse_network
from resgrid.sources.manifest import write_manifests
from resgrid.terminal import console, run_command


def sources() -> None:
    """Write the manifests below sources/ for the networks of params.yaml's grid."""
    match YAML(typ="safe", pure=True).load(Path("params.yaml")):
        case {"grid": {"network": [str(), *_] as names}}:
            networks = [parse_network(str(name)) for name in names]
        case _:
            raise ValueError("params.yaml: grid.network: not a list of names; list networks such as resnet20-A")
    for path in write_manifests(Path(), networks):
        console.print(f"sources: {path} changed", markup=False)


if __name__ == "__main__":
    run_command(sources)
