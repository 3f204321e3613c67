"""The page of all studies: claims by study, with the answers of their parts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from resgrid.reporting.studies import RESULTS, read_studies, render_studies
from support.repository import ROOT


def write_study(root: Path, name: str, answers: dict[str, str] | None) -> None:
    (root / name).mkdir(parents=True)
    (root / name / "README.md").touch()
    if answers is not None:
        verdicts = [{"title": title, "answer": answer} for title, answer in answers.items()]
        (root / name / "verdicts.json").write_text(json.dumps({"data": {"label": "A|B"}, "verdicts": verdicts}))


def test_claims_stand_beside_each_other_with_the_answers_of_their_parts(tmp_path: Path) -> None:
    write_study(tmp_path, "digits", {"X (depth 20)": "holds here", "X (depth 32)": "inconclusive", "Y": "not tested"})
    write_study(tmp_path, "mnist", {"X (depth 20)": "fails here", "Z": "holds here"})
    write_study(tmp_path, "old", None)
    text = render_studies(read_studies(tmp_path))
    assert "| [old](old/README.md) | see its page |" in text
    assert r"| claim | digits<br>A\|B | mnist<br>A\|B |" in text
    assert "| X | ✅ 1 holds here, ❔ 1 inconclusive | ❌ fails here |" in text
    assert "| Z |  | ✅ holds here |" in text
    assert "| Y |" not in text


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    write_study(tmp_path, "digits", {})
    (tmp_path / "digits/verdicts.json").write_text("{}")
    with pytest.raises(ValueError, match=r"digits/verdicts\.json: is damaged: 'verdicts'; copy"):
        read_studies(tmp_path)


def test_the_committed_page_is_up_to_date() -> None:
    page = (ROOT / RESULTS / "README.md").read_text(encoding="utf-8")
    assert page == render_studies(read_studies(ROOT / RESULTS))
