"""Chains of evidence, and differences in words."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from resgrid.acceptance.differences import DifferenceFound, compare_files, compare_rows, compare_states
from resgrid.acceptance.replay import traced_windows
from resgrid.acceptance.replays import run_in_forks
from resgrid.artifacts.acceptance import Acceptance, Link, acceptance_path, carried_over, md5_of
from resgrid.artifacts.cell_files import CellPaths
from resgrid.cells import Cell
from resgrid.training.trace import TensorDigest, Window


def link(before: str, after: str, stage: str = "train", commit: str = "b" * 40) -> Link:
    return Link(
        stage=stage,
        manifest=(before, after),
        files=["src/resgrid/models/blocks.py"],
        packages={"numpy": ("2.4.6", "2.4.7")},
        windows=[(1, 20), (410, 420)],
        steps=64_000,
        digests=100,
        compared=["metrics.json"],
        commit=commit,
        date="2026-11-25T10:00:00+00:00",
        hardware="AMD EPYC, 2 cores",
        versions={},
    )


NONE = Acceptance(cell="plain8-0", fingerprint="f", trained_with="a" * 40, links=[])


def test_a_chain_leads_from_the_training_to_the_present_code() -> None:
    evidence = NONE.followed_by(link("0", "1")).followed_by(link("7", "8", "evaluate")).followed_by(link("1", "2"))
    assert [each.manifest for each in evidence.of_stage("train")] == [("0", "1"), ("1", "2")]
    assert [each.manifest for each in evidence.of_stage("evaluate")] == [("7", "8")]
    # A link whose entry of dvc.lock was never written is replaced.
    again = evidence.followed_by(link("1", "3"))
    assert [each.manifest for each in again.of_stage("train")] == [("0", "1"), ("1", "3")]


def test_evidence_in_words_names_every_link() -> None:
    assert NONE.describe() is None
    assert NONE.followed_by(link("0", "1")).followed_by(link("1", "2", commit="c" * 40 + "-dirty")).describe() == (
        "trained with commit aaaaaaaa, carried over to bbbbbbbb by replay of 31 of 64,000 steps on 2026-11-25, "
        "then to cccccccc-dirty by replay of 31 of 64,000 steps on 2026-11-25"
    )


def test_evidence_counts_for_its_run_and_the_present_manifest_only(tmp_path: Path) -> None:
    paths, manifest = CellPaths(Cell("plain8", 0), tmp_path), tmp_path / "plain8.json"
    manifest.write_bytes(b"{}")
    evidence = NONE.followed_by(link("0", md5_of(b"{}")))
    assert carried_over(paths, "f", manifest) is None
    evidence.write(acceptance_path(paths))
    assert carried_over(paths, "f", manifest) == evidence.describe()
    assert carried_over(paths, "another run", manifest) is None
    manifest.write_bytes(b"{ }")
    assert carried_over(paths, "f", manifest) is None


def test_windows_are_the_runs_of_traced_steps() -> None:
    assert traced_windows({step: {} for step in (1, 2, 3, 11, 12)}) == [Window(0, 3), Window(10, 12)]
    assert traced_windows({}) == []


def test_the_first_tensor_that_differs_is_named_with_the_size_of_the_difference() -> None:
    recorded = {"a": TensorDigest("0" * 16, 1.0), "b": TensorDigest("1" * 16, 2.0), "c": TensorDigest("2" * 16, 3.0)}
    replayed = recorded | {"b": TensorDigest("3" * 16, 2.5), "c": TensorDigest("4" * 16, 3.0)}
    compare_states(7, recorded, recorded)
    with pytest.raises(
        DifferenceFound,
        match=r"^step 7: b: its norm is 2\.5 instead of 2\.0 \(relative difference 2\.5e-01\) "
        r"\(1 of 2 other tensors differ too\)$",
    ):
        compare_states(7, replayed, recorded)
    with pytest.raises(DifferenceFound, match=r"^step 7: c: exists only in the results$"):
        compare_states(7, {name: recorded[name] for name in "ab"}, recorded)


def test_differences_of_files_in_words() -> None:
    for name, replayed, recorded, words in [
        ("metrics.json", b'{"a": 1, "b": 2}', b'{"a": 1, "b": 3}', "metrics.json: b: 2 instead of 3"),
        ("blocks.csv", b"x\n1\n", b"x\n2\n", "blocks.csv: line 2: '1' instead of '2'"),
        ("maps.png", b"abc", b"abd", "maps.png: byte 2 of 3"),
        (
            "weights.safetensors",
            safetensors.numpy.save({"a": np.array([1.0, 2.0])}),
            safetensors.numpy.save({"a": np.array([1.0, 2.5])}),
            "weights.safetensors: a: 1 of 2 values differ, by up to 0.5",
        ),
    ]:
        compare_files(name, recorded, recorded)
        with pytest.raises(DifferenceFound) as found:
            compare_files(name, replayed, recorded)
        assert str(found.value) == words
    compare_rows("curve.csv", b"step,lr\n20,0.1\n", b"step,lr\n10,0.1\n20,0.1\n")
    with pytest.raises(DifferenceFound, match=r"^step 20: curve\.csv: the replay's row '20,0\.2' is not in"):
        compare_rows("curve.csv", b"step,lr\n20,0.2\n", b"step,lr\n10,0.1\n20,0.1\n")


def test_each_job_has_its_result_or_the_reason_why_it_has_none() -> None:
    def run(number: int) -> float:
        if number == 3:
            os._exit(5)
        return 6 / number

    results = dict(run_in_forks([0, 1, 2, 3], run, processes=2))
    assert (results[1], results[2], results[3]) == (6.0, 3.0, "its process ended with 5")
    assert str(results[0]).startswith("ZeroDivisionError: division by zero (")
