"""`runs/<cell>/accepted.json`: evidence that a cell's results stand after a change of code or packages.

docs/acceptance.md describes what the evidence shows.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from resgrid.artifacts.cell_files import CellPaths
from resgrid.artifacts.files import JsonRecord


class Link(JsonRecord):
    """One acceptance of a pipeline stage's results.

    Attributes:
        stage: `train` or `evaluate`.
        manifest: MD5 of the stage's manifest before and after the change, as in dvc.lock.
        files: code files that changed, from the repository's root.
        packages: versions before and after of the packages that changed; None where a package is not used.
        windows: first and last replayed step of each window, counted from 1; empty for evaluations.
        steps: steps of the training; 0 for evaluations.
        digests: number of tensor digests that were compared.
        compared: outputs that were computed again and compared, such as `metrics.json`.
        commit: the repository's commit that replayed, with `-dirty` if code differed from it; None outside git.
        date: ISO 8601, UTC.
        hardware: the processor or accelerator that replayed.
        versions: of Python and of the packages that compute or record.
    """

    stage: str
    manifest: tuple[str, str]
    files: list[str]
    packages: dict[str, tuple[str | None, str | None]]
    windows: list[tuple[int, int]]
    steps: int
    digests: int
    compared: list[str]
    commit: str | None
    date: str
    hardware: str
    versions: dict[str, str]

    @property
    def steps_replayed(self) -> int:
        return sum(last - first + 1 for first, last in self.windows)


class Acceptance(JsonRecord):
    """The evidence of a cell.

    Attributes:
        fingerprint: of the run that trained, as in `metrics.json`.
        trained_with: commit of that run; None if no run record names it.
        links: acceptances in their order, from the run that trained to the present code.
    """

    cell: str
    fingerprint: str
    trained_with: str | None
    links: list[Link]

    def followed_by(self, link: Link) -> Acceptance:
        """Append a link to the chain of its stage; links that do not lead to it are dropped."""
        chain: list[Link] = []
        for earlier in reversed(self.of_stage(link.stage)):
            if earlier.manifest[1] == (chain[0] if chain else link).manifest[0]:
                chain.insert(0, earlier)
        others = [each for each in self.links if each.stage != link.stage]
        return self.model_copy(update={"links": [*others, *chain, link]})

    def of_stage(self, stage: str) -> list[Link]:
        """The links of a pipeline stage."""
        return [link for link in self.links if link.stage == stage]

    def describe(self) -> str | None:
        """Describe where the training's results come from; None if the training was not accepted."""
        links = self.of_stage("train")
        if not links:
            return None
        carried = ", then ".join(
            f"to {short(link.commit)} by replay of {link.steps_replayed:,} of {link.steps:,} steps on {link.date[:10]}"
            for link in links
        )
        return f"trained with commit {short(self.trained_with)}, carried over {carried}"


def short(commit: str | None) -> str:
    """Shorten a commit for people."""
    if commit is None:
        return "unknown"
    return commit[:8] + ("-dirty" if commit.endswith("-dirty") else "")


def acceptance_path(paths: CellPaths) -> Path:
    """Return the path of a cell's evidence."""
    return paths.root / "accepted.json"


def read_acceptance(paths: CellPaths, fingerprint: str) -> Acceptance | None:
    """Read a cell's evidence; None if there is none for the run with this fingerprint.

    Raises:
        ValueError: the file is damaged.
    """
    path = acceptance_path(paths)
    if not path.exists():
        return None
    acceptance = Acceptance.read(path)
    return acceptance if acceptance.fingerprint == fingerprint else None


def carried_over(paths: CellPaths, fingerprint: str, manifest: Path) -> str | None:
    """Describe how a cell's training was carried over to the code of a manifest; None if it was trained with it.

    Args:
        manifest: the manifest of the training, such as `sources/train/plain8.json`.

    Raises:
        ValueError: the evidence is damaged.
    """
    acceptance = read_acceptance(paths, fingerprint)
    links = acceptance.of_stage("train") if acceptance else []
    if acceptance is None or not links or not manifest.exists():
        return None
    return acceptance.describe() if links[-1].manifest[1] == md5_of(manifest.read_bytes()) else None


def md5_of(content: bytes) -> str:
    """Return the MD5 of some bytes, as in dvc.lock."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
