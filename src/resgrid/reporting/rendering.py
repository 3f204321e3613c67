"""The Jinja environments of the page (HTML, escaped) and of the Markdown report, with their filters and functions."""

from __future__ import annotations

import re
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from resgrid.reporting import provenance
from resgrid.reporting.execution import run_url
from resgrid.reporting.formatting import duration, number, percent, points, rounded, with_unit
from resgrid.reporting.style import kind_title
from resgrid.reporting.svg import render, swatch

# Signs of the verdicts' answers in Markdown.
ANSWER_MARKS = {
    "reproduced": "✅",
    "holds here": "✅",
    "contradicted": "❌",
    "fails here": "❌",
    "inconclusive": "❔",
    "not converged": "⚠️",
    "not tested": "➖",
}

# Characters that start tags, entities, mentions, formulas or emphasis in GitHub's Markdown.
_ENTITIES = re.compile(r"[&<>@$]")
_PUNCTUATION = re.compile(r"[\\`*_\[\]|~]")


def html_template(name: str) -> Template:
    """Return a template whose values are escaped for HTML."""
    return _environment(autoescape=True).get_template(name)


def markdown_template(name: str) -> Template:
    """Return a template without escaping; it applies the filter `markdown` to text that isn't its own."""
    return _environment(autoescape=False).get_template(name)


@cache
def _environment(autoescape: bool) -> Environment:
    environment = Environment(
        loader=PackageLoader("resgrid.reporting"),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "duration": duration,
        "folded": provenance.folded,
        "markdown": _escape_markdown,
        "number": number,
        "percent": percent,
        "points": points,
        "rounded": rounded,
        "shown": provenance.shown,
        "with_unit": with_unit,
    }
    environment.globals |= {
        "answer_marks": ANSWER_MARKS,
        "against_paper": provenance.against_paper,
        "confusion_sources": provenance.confusion_sources,
        "device_seconds": provenance.device_seconds,
        "difference": provenance.difference,
        "kind_title": kind_title,
        "of_card": provenance.of_card,
        "of_cell": provenance.of_cell,
        "of_cells": provenance.of_cells,
        "of_ensemble": provenance.of_ensemble,
        "of_file": provenance.of_file,
        "of_network": provenance.of_network,
        "of_record": provenance.of_record,
        "run_url": run_url,
        "svg": render,
        "swatch": swatch,
    }
    return environment


def _escape_markdown(text: str) -> str:
    """Escape text for one line of Markdown, also in a table, on GitHub."""
    entities = _ENTITIES.sub(lambda match: f"&#{ord(match[0])};", text)
    return " ".join(_PUNCTUATION.sub(r"\\\g<0>", entities).split())
