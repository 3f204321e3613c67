"""Comparison of two versions of an experiment: seed-paired differences, and what differs in verdicts and inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import fmean
from typing import Any, Literal

from resgrid.cells import Cell
from resgrid.reporting.formatting import counted, estimate, listed
from resgrid.reporting.results import ResultsError
from resgrid.reporting.statistics import ALPHA, FEWEST_SEEDS, Difference, Sample, holm, paired_difference
from resgrid.reporting.versions import MEASURES, ComparedMeasure, Version

Outcome = Literal["equal", "lower", "higher", "not significant", "too few seeds"]


@dataclass(frozen=True)
class NetworkComparison:
    """One network in both versions, over their common seeds.

    Attributes:
        before: errors of the first version, in percent, by measure.
        after: those of the second.
        p: of the test error's difference, adjusted for the number of networks; None if it can't be computed.
    """

    network: str
    before: Mapping[ComparedMeasure, Sample]
    after: Mapping[ComparedMeasure, Sample]
    p: float | None = None

    @cached_property
    def differences(self) -> dict[ComparedMeasure, Difference]:
        """Second minus first version by seed, in points."""
        return {measure: paired_difference(_minus(self.after[measure], self.before[measure])) for measure in MEASURES}

    @property
    def n(self) -> int:
        """Number of common seeds."""
        return self.before["test_error"].n

    @property
    def outcome(self) -> Outcome:
        """What happened to the test error."""
        if all(self.before[measure] == self.after[measure] for measure in MEASURES):
            return "equal"
        if self.p is None:
            return "too few seeds"
        if self.p > ALPHA:
            return "not significant"
        return "lower" if self.differences["test_error"].mean < 0 else "higher"


@dataclass(frozen=True)
class Change:
    """A value that differs; None where a version lacks it."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Comparison:
    """Two versions and what differs.

    Attributes:
        networks: those with common seeds.
        average: difference of the test error, averaged over these networks, by seed that all of them have.
        only_before: names of cells that only the first version has.
        only_after: names of cells that only the second version has.
        verdicts: claims with another answer, by title.
        parameters: by dotted name.
        code: by file, the pipeline stages whose manifests differ in it.
        packages: versions of installed packages.
    """

    before: Version
    after: Version
    networks: tuple[NetworkComparison, ...]
    average: Difference | None
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    verdicts: tuple[Change, ...]
    parameters: tuple[Change, ...]
    code: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    packages: tuple[Change, ...] = ()

    @property
    def same_data(self) -> bool | None:
        """Whether both versions have the same images and split; None if one doesn't state it."""
        if self.before.data_hash is None or self.after.data_hash is None:
            return None
        return self.before.data_hash == self.after.data_hash

    @property
    def sentence(self) -> str:
        """Whether the change helped, in one sentence."""
        outcomes = [network.outcome for network in self.networks]
        total = counted(len(outcomes), "network")
        if set(outcomes) == {"equal"}:
            return f"All common cells have equal errors ({total})."
        parts = [
            f"{outcomes.count(outcome)} {text}"
            for outcome, text in (
                ("lower", "lower"),
                ("higher", "higher"),
                ("not significant", "without a significant difference"),
                ("equal", "equal"),
                ("too few seeds", f"with fewer than {FEWEST_SEEDS} common seeds, or without variation"),
            )
            if outcome in outcomes
        ]
        text = f"Test error of {total}, {self.after.label} against {self.before.label}: {listed(parts)}."
        if self.average is None or len(outcomes) == 1:
            return text
        return f"{text} Averaged over the networks: {estimate(self.average.mean, self.average.interval, 'points')}."


def compare(before: Version, after: Version) -> Comparison:
    """Compare two versions over their common cells.

    Raises:
        ResultsError: they have no cell in common.
    """
    common = [cell for cell in before.cells if cell in after.cells]
    if not common:
        raise ResultsError(f"{before.label}, {after.label}: no common cells; compare versions of one grid")
    networks = [
        NetworkComparison(name, _samples(before, cells), _samples(after, cells))
        for name in dict.fromkeys(cell.network for cell in common)
        for cells in [[cell for cell in common if cell.network == name]]
    ]
    return Comparison(
        before,
        after,
        tuple(_with_adjusted_p(networks)),
        _average(before, after),
        tuple(cell.name for cell in before.cells if cell not in after.cells),
        tuple(cell.name for cell in after.cells if cell not in before.cells),
        _changed_verdicts(before, after),
        tuple(_changes(before.parameters, after.parameters)),
        _changed_code(before, after),
        _changed_packages(before, after),
    )


def _samples(version: Version, cells: list[Cell]) -> dict[ComparedMeasure, Sample]:
    return {measure: Sample(tuple(version.cells[cell][measure] for cell in cells)) for measure in MEASURES}


def _with_adjusted_p(networks: list[NetworkComparison]) -> Iterable[NetworkComparison]:
    ps = {network.network: network.differences["test_error"].p for network in networks if network.outcome != "equal"}
    known = {name: p for name, p in ps.items() if p is not None}
    adjusted = dict(zip(known, holm(list(known.values())), strict=True))
    return (replace(network, p=adjusted.get(network.network)) for network in networks)


def _average(before: Version, after: Version) -> Difference | None:
    common = [cell for cell in before.cells if cell in after.cells]
    names = {cell.network for cell in common}
    seeds = [seed for seed in dict.fromkeys(cell.seed for cell in common) if _networks_with(common, seed) == names]
    means = [
        fmean(
            after.cells[cell]["test_error"] - before.cells[cell]["test_error"] for cell in common if cell.seed == seed
        )
        for seed in seeds
    ]
    return paired_difference(Sample(tuple(means))) if means else None


def _networks_with(cells: Iterable[Cell], seed: int) -> set[str]:
    return {cell.network for cell in cells if cell.seed == seed}


def _minus(second: Sample, first: Sample) -> Sample:
    return Sample(tuple(after - before for after, before in zip(second.values, first.values, strict=True)))


def _changed_verdicts(before: Version, after: Version) -> tuple[Change, ...]:
    if not (before.verdicts and after.verdicts):
        return ()
    titles = {**before.titles, **after.titles}
    return tuple(replace(change, name=titles[change.name]) for change in _changes(before.verdicts, after.verdicts))


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterable[Change]:
    for name in (*before, *(name for name in after if name not in before)):
        if before.get(name) != after.get(name):
            yield Change(name, before.get(name), after.get(name))


def _changed_code(before: Version, after: Version) -> dict[str, tuple[str, ...]]:
    """Return the stages for which each file's digest differs; manifests that only one version has don't count."""
    stages: dict[str, list[str]] = {}
    for name in before.manifests:
        if name in after.manifests:
            files = (version.manifests[name]["files"] for version in (before, after))
            for change in _changes(*files):
                stage = name.partition("/")[0]
                if stage not in stages.setdefault(change.name, []):
                    stages[change.name].append(stage)
    return {file: tuple(names) for file, names in sorted(stages.items())}


def _changed_packages(before: Version, after: Version) -> tuple[Change, ...]:
    if not (before.manifests and after.manifests):
        return ()
    packages = (
        {name: number for manifest in version.manifests.values() for name, number in manifest["packages"].items()}
        for version in (before, after)
    )
    return tuple(_changes(*packages))
