"""The content of a report: what the page and the Markdown report are rendered from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from resgrid.artifacts.data_card import DatasetCard
from resgrid.config.report import ReportParams
from resgrid.reporting.ensembles import Ensemble
from resgrid.reporting.formatting import caution
from resgrid.reporting.headline import headline
from resgrid.reporting.paper_comparison import differences_from_paper
from resgrid.reporting.results import Results
from resgrid.reporting.seed_noise import ImagesOfOneKind, SeedNoise
from resgrid.reporting.verdicts import Verdict, count_claims


@dataclass(frozen=True)
class Content:
    """Parameters, data, results and verdicts of one grid."""

    config: ReportParams
    card: DatasetCard
    results: Results
    ensembles: Sequence[Ensemble]
    verdicts: Sequence[Verdict]
    noises: Sequence[SeedNoise]
    images_of_one_kind: Sequence[ImagesOfOneKind]

    def variables(self) -> dict[str, Any]:
        """Return the template variables that the page and the Markdown report share."""
        by_name = {network.name: network for network in self.results.networks}
        counterparts = {network.name: by_name.get(network.plain_counterpart or "") for network in by_name.values()}
        records = [cell.record for cell in self.results.all_cells]
        return {
            "config": self.config,
            "card": self.card,
            "results": self.results,
            "by_name": by_name,
            "plain_counterparts": {name: plain for name, plain in counterparts.items() if plain is not None},
            "verdicts": sorted(self.verdicts, key=lambda verdict: verdict.answer == "not tested"),
            "answers": count_claims(self.verdicts),
            "headline": headline(self.results) if self.results.networks else "",
            "caution": caution(len(self.config.grid.seed)),
            "ensembles": self.ensembles,
            "noises": self.noises,
            "images_of_one_kind": self.images_of_one_kind,
            "commits": sorted({record.train.commit or "none" for record in records if record and record.train}),
            "differences": differences_from_paper(self.config, self.card, self.results.all_cells),
        }
