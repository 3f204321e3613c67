"""The page `docs/results/README.md`: each claim's answers in all studies, from their files `verdicts.json`.

Copy a study's `reports/verdicts.json` to its folder, then run `python -m resgrid.reporting.studies`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resgrid.artifacts.files import write_atomically
from resgrid.reporting.rendering import ANSWER_MARKS, markdown_template
from resgrid.terminal import console, run_command

RESULTS = Path("docs/results")

_PART = re.compile(r" \((depth \d+|option [ABC])\)")


@dataclass(frozen=True)
class Study:
    """One folder of results.

    Attributes:
        name: of the folder.
        data: the data set's name; empty if the folder has no `verdicts.json`.
        answers: how often each answer was given, by the claim's title without its depth or option.
    """

    name: str
    data: str
    answers: dict[str, Counter[str]]

    def cell(self, claim: str) -> str:
        """Format such as `✅ holds here` or `✅ 2 holds here, ❔ 1 inconclusive`, for the parts of a claim."""
        answers = self.answers.get(claim, Counter())
        if len(answers) == 1:
            return next(f"{ANSWER_MARKS[answer]} {answer}" for answer in answers)
        return ", ".join(f"{ANSWER_MARKS[answer]} {count} {answer}" for answer, count in answers.items())


def read_studies(results: Path = RESULTS) -> list[Study]:
    """Read the studies, by name.

    Raises:
        ValueError: a `verdicts.json` is damaged.
    """
    return [_read_study(folder) for folder in sorted(results.iterdir()) if (folder / "README.md").is_file()]


def render_studies(studies: list[Study]) -> str:
    """Return the page as Markdown."""
    judged = [study for study in studies if study.answers]
    tested = {
        claim: None
        for study in judged
        for claim, answers in study.answers.items()
        if any(answer != "not tested" for answer in answers)
    }
    return markdown_template("studies.md.j2").render(studies=studies, judged=judged, claims=list(tested))


def _read_study(folder: Path) -> Study:
    path = folder / "verdicts.json"
    if not path.is_file():
        return Study(folder.name, "", {})
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        answers: dict[str, Counter[str]] = {}
        for verdict in content["verdicts"]:
            answers.setdefault(_PART.sub("", verdict["title"]), Counter())[verdict["answer"]] += 1
        return Study(folder.name, content["data"]["label"], answers)
    except (ValueError, KeyError) as error:
        raise ValueError(f"{path}: is damaged: {error}; copy the study's reports/verdicts.json again") from None


def main() -> None:
    """Write `docs/results/README.md` again."""
    write_atomically(RESULTS / "README.md", render_studies(read_studies()).encode())
    console.print(f"written: {RESULTS / 'README.md'}")


if __name__ == "__main__":
    run_command(main)
