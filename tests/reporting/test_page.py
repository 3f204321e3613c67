"""The report's files: their numbers, their links, and that they need nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import pandas as pd
import pytest

from pipeline import report
from resgrid.artifacts.analyses import ANALYSIS_COLUMNS
from resgrid.artifacts.data_card import PreparedPaths
from resgrid.artifacts.files import REPORTS
from resgrid.artifacts.run_record import RunRecord
from resgrid.cells import Cell
from resgrid.config.reading import PARAMS_FILE
from resgrid.reporting.analysis_charts import blocks, layer_responses
from resgrid.reporting.axes import linear_axis, log_axis
from resgrid.reporting.chart import Chart, ChartGroup
from resgrid.reporting.confusions import most_confused
from resgrid.reporting.execution import run_url
from resgrid.reporting.static_figures import draw_figures
from resgrid.reporting.style import network_styles
from resgrid.reporting.svg import PLOT_HEIGHT, PLOT_WIDTH, render

if TYPE_CHECKING:
    from tests.reporting.conftest import MakeStudy

LOADING = {"src", "srcset", "poster", "data", "background", "action"}
FIGURES = sorted(
    f"{name}.{suffix}"
    for name in ("confusions", "curves", "curves-together", "depth", "overview")
    for suffix in ("png", "svg")
)
SOME = [(1.0, 8), (2.0, 12)]


class Page(HTMLParser):
    """The tags of a page, with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def values(self, attribute: str) -> list[str]:
        return [attributes[attribute] for _, attributes in self.tags if attribute in attributes]


def test_summary_holds_each_cell_s_numbers(make_study: MakeStudy) -> None:
    study = make_study()
    summary = study.summary()
    assert summary["preset"] == "digits"
    assert summary["data"]["label"] == "Digits"
    assert summary["data"]["data_hash"] == study.card.data_hash
    assert summary["cells"][3] == {
        "network": "plain20",
        "depth": 20,
        "shortcut": "none",
        "seed": 1,
        "parameters": 20000,
        "diverged": False,
        "train_error": 8.0,
        "val_error": 8.5,
        "test_error": 8.0,
        "selected_val_error": 8.25,
        "selected_test_error": 8.75,
        "test_loss": 0.25,
        "fingerprint": study.results().cells[3].train.fingerprint,
        "run_id": "0a1b2c",
        "commit": "c1",
        "carried_over": None,
    }


def test_summary_holds_the_aggregates(make_study: MakeStudy) -> None:
    plain20 = make_study().summary()["networks"][1]
    assert plain20["network"] == "plain20"
    assert plain20["seeds"] == [0, 1]
    assert plain20["test_error"] == {"mean": 7.0, "standard_deviation": pytest.approx(2**0.5), "n": 2}


def test_a_loss_that_json_cannot_hold_is_null(make_study: MakeStudy) -> None:
    study = make_study({"plain8": SOME})
    evaluation = study.paths("plain8", 0).evaluation
    evaluation.write_text(re.sub(r'"test_loss": [0-9.]+', '"test_loss": Infinity', evaluation.read_text()))
    assert study.summary()["cells"][-1]["test_loss"] is None


def test_without_records_the_report_is_written_and_says_so(make_study: MakeStudy) -> None:
    study = make_study(records=False)
    page = study.page()
    assert "8 of 8 cells have no run record on this machine" in page
    assert "This machine has no run records, so hardware" in page
    assert {cell["run_id"] for cell in study.summary()["cells"]} == {None}


def test_a_record_of_another_fingerprint_is_not_taken(make_study: MakeStudy) -> None:
    study = make_study(records=False)
    other = study.paths("plain8", 0)
    study.write_record(Cell("plain8", 1))
    other.metrics.write_text(re.sub(r'"fingerprint": "[0-9a-f]+"', '"fingerprint": "beef"', other.metrics.read_text()))
    assert [cell["run_id"] for cell in study.summary()["cells"][:2]] == [None, "0a1b2c"]


def test_the_page_loads_nothing_and_runs_its_own_script_alone(make_study: MakeStudy) -> None:
    text = make_study(analyses=True).page()
    page = Page(text)
    loaded = {value for attribute in LOADING for value in page.values(attribute)}
    assert all(value.startswith("data:image/png;base64,") for value in loaded)
    assert [attributes["href"] for tag, attributes in page.tags if tag == "link"] == ["data:,"]
    assert not {"iframe", "object", "embed"} & {tag for tag, _ in page.tags}
    assert [attributes.get("type") for tag, attributes in page.tags if tag == "script"] == ["application/json", None]
    assert "@import" not in text
    assert "url(" not in text
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    script = text.rpartition("<script>")[2].partition("</script>")[0]
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'" in text


def test_each_figure_has_a_text_in_its_place(make_study: MakeStudy) -> None:
    page = Page(make_study(analyses=True).page())
    drawn = [attributes for tag, attributes in page.tags if tag == "svg" and attributes.get("role") == "img"]
    texts = [attributes["aria-label"] for attributes in drawn] + page.values("alt")
    charts = 1 + 2 + 2 + 2 + 2 + 2 + 6 + 2  # overview, depth, Fig. 1, Fig. 6, cost, Fig. 7, gradients, blocks
    assert len(texts) == charts + 4 + 4  # confusions, activation maps
    assert all(len(text) > 40 for text in texts)
    assert "Test error against depth. Plain: 1.25% (plain8) to 7.00% (plain20)" in texts[0]


def test_a_section_without_its_files_says_so_in_a_line(make_study: MakeStudy) -> None:
    study = make_study({"plain8": SOME, "resnet8-A": SOME}, analyses=True)
    files = ["complexity.json", "responses.csv", "gradients.csv", "blocks.csv", "activation_maps.png"]
    assert "No cell of this grid has" not in study.page()
    for path in (path for name in files for path in (study.root / "runs").glob(f"*/{name}")):
        path.unlink()
    text = study.page()
    assert re.findall("No cell of this grid has <code>(.*?)</code>", text) == files


def test_what_was_measured_is_drawn_to_files_too(make_study: MakeStudy) -> None:
    folder = make_study({"plain8": SOME, "resnet8-A": SOME}, analyses=True).report() / "figures"
    assert sorted(path.stem for path in folder.glob("*.png")) == [
        *("blocks", "confusions", "cost", "curves", "curves-together", "depth", "gradients", "overview", "responses")
    ]


def test_an_axis_within_a_decade_has_more_ticks() -> None:
    assert [text for _, text in log_axis("parameters", 269_722, 853_018).ticks] == ["300k", "500k", "700k", "1M"]
    assert [text for _, text in log_axis("parameters", 269_722, 14_724_042).ticks] == ["500k", "1M", "2M", "5M", "10M"]


def test_responses_that_dwarf_the_others_get_a_logarithmic_axis(make_study: MakeStudy) -> None:
    study = make_study(analyses=True)

    def scales() -> set[bool]:
        results = study.results()
        found = layer_responses(results, network_styles(results))
        assert found is not None
        return {chart.y.log for chart in found.charts}

    assert scales() == {False}
    path = study.paths("plain8", 0).analysis("responses")
    table = pd.read_csv(path)
    table.loc[0, "std"] = 1000.0
    table.to_csv(path, index=False)
    assert scales() == {True}
    table.loc[1, "std"] = 0.0  # a dead layer has no place on such an axis
    table.to_csv(path, index=False)
    study.paths("plain8", 1).analysis("responses").unlink()
    assert scales() == {False}


def test_a_block_without_input_is_a_gap(make_study: MakeStudy) -> None:
    study = make_study(analyses=True)
    path = study.paths("resnet8-A", 0).analysis("blocks")
    table = pd.read_csv(path)
    table.loc[1, "residual_ratio"] = float("inf")
    table.to_csv(path, index=False)
    assert not re.search('data-ys="[^"]*inf', study.page())
    results = study.results()
    found = blocks(results, network_styles(results))
    assert found is not None
    assert all(math.isfinite(chart.y.high) for chart in found.charts)


def test_a_network_of_which_one_seed_was_analysed_is_shown_with_it(make_study: MakeStudy) -> None:
    study = make_study(analyses=True)
    study.paths("plain8", 0).analysis("responses").unlink()
    study.paths("resnet8-A", 0).analysis("responses").unlink()
    study.paths("resnet8-A", 1).analysis("responses").unlink()
    text = study.page()
    assert 'data-source="runs/plain8-1/responses.csv#std"' in text
    assert "resnet8-A-1/responses.csv" not in text


def test_an_analysis_without_charts_of_its_own_gets_one_for_each_column(
    make_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ANALYSIS_COLUMNS, "weight_ranks", ("index", "layer", "rank", "rest"))
    study = make_study()
    assert "Weight ranks" not in study.page()
    for seed in (0, 1):
        ranks = "index,layer,rank,rest\n1,conv1,-3,inf\n2,conv2,4,inf\n"
        study.paths("plain8", seed).analysis("weight_ranks").write_text(ranks)
    text = study.page()
    assert "<h3>Weight ranks</h3>" in text
    assert 'data-source="runs/plain8-{0,1}/weight_ranks.csv#rank"' in text
    assert "weight_ranks.csv#rest" not in text  # no finite value


def test_links_inside_the_page_lead_somewhere(make_study: MakeStudy) -> None:
    page = Page(make_study().page())
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    anchors = {href[1:] for href in page.values("href") if href.startswith("#")}
    assert anchors <= set(ids)
    assert {
        "plain8-0",
        "resnet20-A-1",
        "summary",
        "fig-1",
        "fig-6",
        "fig-7",
        "table-1",
        "table-3",
        "table-6",
    } <= anchors


def test_every_tag_is_closed(make_study: MakeStudy) -> None:
    """Browsers mend a page in silence; this one needs no mending."""
    open_tags: list[str] = []

    class Balance(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag not in ("meta", "link", "img", "br", "input"):
                open_tags.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert open_tags.pop() == tag

    Balance().feed(make_study(data="cifar10", records=False).page())
    assert open_tags == []


def test_equal_inputs_give_equal_bytes_whatever_the_user_s_matplotlib_settings(make_study: MakeStudy) -> None:
    study = make_study({"plain8": SOME, "resnet8-A": SOME})
    first = study.report(to="first")
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "black", "savefig.dpi": 30}):
        second = study.report(to="second")
    names = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert len(names) == 28
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_a_figure_of_an_earlier_report_does_not_stay(make_study: MakeStudy) -> None:
    study = make_study({"plain8": [(1.0, 8)]})
    stale = study.root / "reports/figures/stale.png"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"")
    study.report()
    assert sorted(path.name for path in stale.parent.iterdir()) == FIGURES


def rows_of(text: str, table: str) -> list[list[str]]:
    """The words of a table's rows, by its anchor: of the last table before the next heading."""
    section = text.partition(f'id="{table}"')[2].partition("<h3")[0].partition("</section>")[0]
    rows = re.findall(r"<tr.*?</tr>", section.rpartition("<tbody>")[2], flags=re.DOTALL)
    cells = (re.findall(r"<t[hd].*?</t[hd]>", row, flags=re.DOTALL) for row in rows)
    return [[" ".join(re.sub("<[^>]+>", "", cell).split()) for cell in row] for row in cells]


def test_only_plain_and_residual_networks_stand_in_the_tables_of_the_paper(make_study: MakeStudy) -> None:
    text = make_study({name: [(1.0, 8)] for name in ("plain20", "resnet20-A", "densenet100-bc", "vgg16-cifar")}).page()
    assert [row[0] for row in rows_of(text, "table-3")] == ["20 layers"]
    assert "such as resnet20-B" in text


def test_networks_for_imagenet_stand_beside_the_paper_s(make_study: MakeStudy) -> None:
    networks = {"plain18-imagenet": [(1.0, 8)], "resnet18-imagenet-A": [(1.0, 4)], "resnet50-imagenet-B": [(1.0, 2)]}
    text = make_study(networks, card={"name": "imagefolder", "label": "ImageNet"}).page()
    assert rows_of(text, "table-2")[-1] == ["ours, 18", "2.00", "1.00", "−1.00"]
    assert rows_of(text, "table-3") == [["18 layers", "2.00", "1.00", "–", "–"], ["50 layers", "–", "–", "0.50", "–"]]
    assert "Not directly comparable: other data" not in text


def test_top5_errors_and_the_scales_of_table_4(make_study: MakeStudy) -> None:
    study = make_study({"resnet50-imagenet-B": SOME}, card={"name": "imagefolder", "label": "ImageNet"})
    for seed, error in enumerate((0.5, 1.0)):
        path = study.paths("resnet50-imagenet-B", seed).evaluation
        path.write_text(json.dumps({**json.loads(path.read_text()), "test_top5_error": error}))
    evaluate = study.config.evaluate.model_copy(update={"views": "multi_scale", "scales": [224, 256]})
    study = replace(study, config=study.config.model_copy(update={"evaluate": evaluate}))
    text = study.page()
    assert '<a href="#table-4">' in text
    assert ["resnet50-imagenet-B", "20.74", "5.25", "2.50 ± 0.71", "0.75 ± 0.35"] in rows_of(text, "table-4")
    assert "ours use other views" in text
    assert "scales of a test image 224 and 256, not 224, 256, 384, 480 and 640" in text
    assert "test, top 5 |" in study.markdown()
    assert "| **2.50 ± 0.71** | 0.75 ± 0.35 |" in study.markdown()


def test_without_top5_errors_no_column_is_for_them(make_study: MakeStudy) -> None:
    study = make_study()
    assert "top 5" not in study.page()
    assert "top 5" not in study.markdown()
    assert "table-4" not in study.page()


def labeled(text: str) -> dict[str, tuple[float, float, str]]:
    chart = Chart("", linear_axis("", 0, 100), linear_axis("", 0, 100), "")
    for point in text.split():
        name, x, y = point.split(",")
        chart.label(float(x), float(y), name)
    found = re.findall(r'class="label" x="([\d.]+)" y="([\d.]+)" text-anchor="(\w+)"[^>]*>([^<]+)<', render(chart))
    return {name: (float(x), float(y), anchor) for x, y, anchor, name in found}


def test_words_in_a_chart_stand_beside_each_other() -> None:
    x, y = PLOT_WIDTH / 2, PLOT_HEIGHT / 2
    alone = labeled("middle,50,50 right,99,50")
    assert alone == {"middle": (x + 6, y - 5, "start"), "right": (round(0.99 * PLOT_WIDTH - 6, 1), y - 5, "end")}
    # Two to the right of the point would run over each other, and so would one of them to its left over the first.
    close = labeled("densenet100-bc,50,50 inception-cifar,60,49")
    assert close["densenet100-bc"] == (x + 6, y - 5, "start")
    assert close["inception-cifar"] == (round(0.6 * PLOT_WIDTH - 6, 1), round(0.51 * PLOT_HEIGHT + 13, 1), "end")


def test_text_from_outside_is_shown_and_not_obeyed(make_study: MakeStudy) -> None:
    card = {"label": "<script>alert(1)</script>", "note": "A & B", "classes": ["<b>", r"$\bad$"]}
    text = (make_study({"plain8": [(0.0, 0)]}, card=card).report() / "index.html").read_text()
    assert "<script>alert" not in text
    assert "&lt;script&gt;" in text
    assert "A &amp; B." in text


def test_text_from_outside_is_escaped_in_markdown(make_study: MakeStudy) -> None:
    label = "a|b [x](http://host.example) <b> $\\frac$ `c` *d* @me &amp; \n# e"
    text = make_study({"plain8": SOME}, card={"label": label}).markdown()
    heading, rest = text.splitlines()[0].split(" on ")
    assert heading == "# Plain and residual networks"
    assert rest == (r"a\|b \[x\](http://host.example) &#60;b&#62; &#36;\\frac&#36; \`c\` \*d\* &#64;me &#38;amp; # e")


def test_figures_draw_text_literally(make_study: MakeStudy) -> None:
    study = make_study({"plain8": SOME})
    styles = network_styles(study.results())
    chart = Chart(r"$\frac$ a$_$b", linear_axis("", 0, 1), linear_axis("", 0, 1), "")
    assert draw_figures({"figure": ChartGroup((chart,), ())}, styles)


def test_more_than_twenty_classes_give_a_table_of_confusions(make_study: MakeStudy) -> None:
    study = make_study({"plain8": [(1.0, 8)]}, card={"classes": [f"class {label}" for label in range(25)]})
    text = study.page()
    assert "confuses most in the test" in text
    assert 'class="heat"' not in text


def test_the_most_confused_classes_come_first(make_study: MakeStudy) -> None:
    study = make_study({"plain8": [(0.0, 3)]}, card={"classes": ["cat", "dog", "emu"]})
    rows = ["actual,predicted", *["cat,cat"] * 299, "cat,dog", *["dog,dog"] * 98, "dog,emu", "dog,emu"]
    study.paths("plain8", 0).confusion.write_text("\n".join(rows))
    pairs = most_confused(study.results().networks[0], study.card.classes, 5)
    assert [(pair.actual, pair.predicted, pair.images) for pair in pairs] == [("dog", "emu", 2), ("cat", "dog", 1)]
    assert [pair.share for pair in pairs] == pytest.approx([2.0, 100 / 300])


@pytest.mark.parametrize(
    ("tracking_uri", "url"),
    [
        ("http://host:5000", "http://host:5000/#/runs/abc"),
        ("https://me:secret@host/mlflow/", "https://host/mlflow/#/runs/abc"),
        ("sqlite:///mlruns/mlflow.db", None),
        (None, None),
    ],
)
def test_runs_on_a_server_are_linked_without_credentials(tracking_uri: str | None, url: str | None) -> None:
    record = RunRecord(cell="plain8-0", fingerprint="f", run_id="abc", tracking_uri=tracking_uri)
    assert run_url(record) == url


def test_each_run_is_linked_or_named(make_study: MakeStudy) -> None:
    study = make_study({"plain8": SOME, "plain20": SOME})
    study.write_record(Cell("plain8", 1), run_id="feed", tracking_uri="http://host:5000")
    study.write_record(Cell("plain20", 0), run_id=None, tracking_uri=None)
    text = study.page()
    assert '<a href="http://host:5000/#/runs/feed"><code title="feed">feed</code></a>' in text
    assert '<td><code title="0a1b2c">0a1b2c</code></td>' in text
    assert "not tracked" in text


def test_machines_and_commits_are_all_listed(make_study: MakeStudy) -> None:
    study = make_study({"plain8": SOME, "plain20": SOME})
    study.write_record(Cell("plain20", 1), commit="d2" + "0" * 38 + "-dirty")
    text = study.page()
    assert "trained on 2 different commits" in text
    assert "d2000000</code>" in text or "d2000000-dirty</code>" in text
    row = re.search(
        r'<th scope="row">training</th><td class="number">3</td><td class="number"><data [^>]*>(.*?)</data>', text
    )
    assert row is not None
    assert row[1] == "1 min 30 s"


def test_every_parameter_is_on_the_page(make_study: MakeStudy) -> None:
    study = make_study()
    text = study.page()
    for section in ("data", "split", "augment", "optimizer", "schedule", "train", "evaluate"):
        for name in type(getattr(study.config, section)).model_fields:
            assert f"<dt>{name}</dt>" in text, name


@pytest.mark.parametrize(
    "outcomes",
    [
        {"resnet20-C": [(1.0, 8)]},
        {"plain8": SOME, "resnet8-B": SOME, "resnet20-A": SOME},
        {"plain8": [(0.0, 0)] * 3, "resnet8-A": [(100.0, 400)] * 3},
    ],
    ids=["one cell", "no twins at depth 20", "none and all wrong"],
)
def test_any_grid_gives_a_report(make_study: MakeStudy, outcomes: dict[str, Any]) -> None:
    study = make_study(outcomes)
    reports = study.report()
    assert sorted(path.name for path in (reports / "figures").iterdir()) == FIGURES
    assert json.loads((reports / "summary.json").read_text()) == study.summary()


def test_the_stage_reports_on_the_grid_in_params(make_study: MakeStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_study({"plain8": [(1.0, 8)]})
    monkeypatch.chdir(study.root)
    PARAMS_FILE.write_text(study.config.model_dump_json())
    study.card.write(PreparedPaths().card)
    report.main()
    assert json.loads((REPORTS / "summary.json").read_text()) == study.summary()
    assert "Digits" in (REPORTS / "index.html").read_text()
