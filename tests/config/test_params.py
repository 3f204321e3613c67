"""params.yaml: what is read, and how mistakes are answered."""

import copy
import random
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from resgrid.config.evaluate import EvaluateParams
from resgrid.config.reading import ConfigError, load_params, read_params
from resgrid.config.whole import check_params, load_config
from resgrid.presets import preset_names, preset_path
from support.random_inputs import seeds, with_damage

ROOT = Path(__file__).parents[2]


@pytest.fixture
def values() -> dict[str, Any]:
    return read_params(ROOT / "presets" / "digits.yaml")


def problems(values: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as error:
        check_params(values, Path("params.yaml"))
    header, *lines = str(error.value).splitlines()
    assert header == f"params.yaml: {len(lines)} mistake{'s' if len(lines) > 1 else ''}"
    return [line.strip() for line in lines]


def test_the_repository_begins_as_the_digits_preset() -> None:
    assert (ROOT / "params.yaml").read_bytes() == (ROOT / "presets/digits.yaml").read_bytes()


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "presets").glob("*.yaml")))
def test_each_preset_is_valid_and_says_its_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert name in preset_names()
    assert load_config(preset_path(name)).preset == name


def test_the_paper_preset_is_the_paper_s_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    config = load_config(preset_path("cifar10-paper"))
    assert (config.optimizer.lr, config.optimizer.momentum, config.optimizer.weight_decay) == (0.1, 0.9, 1e-4)
    assert (config.schedule.milestones, config.schedule.gamma) == ([32_000, 48_000], 0.1)
    assert (config.train.max_steps, config.train.batch_size, config.split.val) == (64_000, 128, 5_000)
    assert (config.augment.pad, config.augment.flip, config.augment.normalize) == (4, True, "per_pixel_mean")
    warmup = config.schedule.warmup
    assert warmup is not None
    assert (warmup.from_depth, warmup.lr, warmup.until_train_error) == (110, 0.01, 80)


@pytest.mark.parametrize("name", ["imagenet-18-34", "imagenet-deep"])
def test_the_imagenet_presets_are_the_paper_s_recipe(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    config = load_config(preset_path(name))
    assert (config.optimizer.lr, config.optimizer.momentum, config.optimizer.weight_decay) == (0.1, 0.9, 1e-4)
    assert (config.train.max_steps, config.train.batch_size) == (600_000, 256)
    assert config.schedule.plateau is not None
    assert (config.schedule.milestones, config.schedule.gamma) == ([], 0.1)
    crop = config.augment.crop
    assert crop is not None
    assert (crop.shorter_side, config.data.image_size, config.augment.flip) == ([256, 480], 224, True)
    assert (config.augment.lighting, config.augment.normalize) == (0.1, "per_pixel_mean")
    assert config.evaluate.scales in ([], [224, 256, 384, 480, 640])


def test_exponents_are_numbers_as_in_yaml_1_2(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text().replace("weight_decay: 0.0001", "weight_decay: 1e-4")
    (tmp_path / "params.yaml").write_text(text)
    assert load_config(tmp_path / "params.yaml").optimizer.weight_decay == 1e-4


def test_a_wrong_network_is_named_with_its_place(values: dict[str, Any]) -> None:
    values["grid"]["network"][2] = "resnet21-A"
    (line,) = problems(values)
    assert line.startswith("grid.network[2]: 'resnet21-A': depth 21 is not 6n+2; use")
    assert "6n+2" in line


def test_every_mistake_is_listed_at_once(values: dict[str, Any]) -> None:
    values["optimizer"]["lr"] = -1
    values["augment"]["flip"] = "maybe"
    values["augment"]["pat"] = values["augment"].pop("pad")
    values["grid"]["seed"] = [0, 0]
    assert problems(values) == [
        "grid.seed[1]: 0: is a duplicate; list each seed once",
        "augment.pad: is missing; add it",
        "augment.flip: 'maybe': should be a valid boolean",
        "augment.pat: 1: unknown parameter; remove it",
        "optimizer.lr: -1: should be greater than 0",
    ]


@pytest.mark.parametrize(
    ("section", "change", "line"),
    [
        ("grid", {"network": []}, "grid.network: []: list should have at least 1 item after validation, not 0"),
        (
            "grid",
            {"network": ["plain8", "plain8"]},
            "grid.network[1]: 'plain8': is a duplicate; list each network once",
        ),
        (
            "train",
            {"max_steps": 421},
            "train.val_every: 28: leaves the last step without validation; use a divisor of max_steps, 421",
        ),
        ("train", {"devices": 3}, "train.batch_size: 32: can't be divided evenly over 3 devices × 1 nodes"),
        ("train", {"threads": 0}, "train.threads: 0: should be greater than or equal to 1"),
        ("train", {"precision": "fp8"}, "train.precision: 'fp8': should be 'auto', '32' or 'bf16'"),
        (
            "schedule",
            {"milestones": [315, 210]},
            "schedule.milestones[1]: 210: is not above 315; list increasing steps",
        ),
        (
            "schedule",
            {"milestones": [210, 420]},
            "schedule.milestones[1]: 420: is after the end; use steps below train.max_steps, 420",
        ),
        (
            "schedule",
            {"warmup": {"from_depth": 8, "lr": 0.2, "until_train_error": 80, "window": 1}},
            "schedule.warmup.lr: 0.2: is not a warm-up; use less than optimizer.lr, 0.1",
        ),
        (
            "data",
            {"name": "svhn"},
            "data.name: 'svhn': is not a known data set; use digits, mnist, ",
        ),
        ("data", {"name": "cifar10"}, "split.test: 360: 'cifar10' has its own test split; set null"),
        ("data", {"name": "imagefolder"}, "data.source: None: is needed by 'imagefolder'; set a folder"),
        (
            "data",
            {"storage": "files"},
            "data.storage: 'files': applies to 'imagefolder' only; set 'arrays' for 'digits'",
        ),
        ("data", {"shorter_side": 256}, "data.shorter_side: 256: applies to storage 'files' only; set null"),
        ("data", {"corrupt": "skip"}, "data.corrupt: 'skip': applies to storage 'files' only; set 'error'"),
        (
            "augment",
            {"lighting": 0.1},
            "augment.lighting: 0.1: applies to data.storage 'files' only; set 0",
        ),
        ("train", {"workers": 2}, "train.workers: 2: has moved; set machine.workers instead"),
        (
            "evaluate",
            {"views": "ten_crop"},
            "evaluate.views: ten_crop: applies to data.storage 'files' only; set single",
        ),
        (
            "evaluate",
            {"views": "multi_scale"},
            "evaluate.scales: []: doesn't fit views 'multi_scale'; set at least one",
        ),
        ("evaluate", {"scales": [224]}, "evaluate.scales: [224]: doesn't fit views 'single'; set []"),
        ("augment", {"crop": {}}, "augment.crop.shorter_side, area: neither is set; set one of them"),
        (
            "augment",
            {"crop": {"area": [1.0, 0.5]}},
            "augment.crop.area: [1.0, 0.5]: is not a range; write the lower bound first",
        ),
        (
            "schedule",
            {"plateau": {"patience": 2, "min_change": 0.0}},
            "schedule.milestones: [210, 315]: doesn't fit a plateau rule; set []",
        ),
        ("split", {"test": None}, "split.test: None: 'digits' has no test split; set the number of test images"),
        ("optimizer", {"lr": float("nan")}, "optimizer.lr: nan: should be a finite number"),
        ("optimizer", {"momentum": 1.0}, "optimizer.momentum: 1.0: should be less than 1"),
    ],
)
def test_each_mistake_names_place_value_and_what_is_allowed(
    values: dict[str, Any], section: str, change: dict[str, Any], line: str
) -> None:
    values[section].update(change)
    assert problems(values)[0].startswith(line)


@pytest.mark.parametrize(
    ("section", "change", "line"),
    [
        (
            "data",
            {"image_size": None},
            "data.image_size: None: is needed by storage 'files'; set the side of a crop, such as 224",
        ),
        (
            "data",
            {"shorter_side": 23},
            "data.shorter_side: 23: is too small for storage 'files'; set at least image_size, 24",
        ),
        ("augment", {"crop": None}, "augment.crop: None: is needed by data.storage 'files'; set shorter_side or area"),
        ("augment", {"pad": 1}, "augment.pad: 1: applies to data.storage 'arrays' only; set 0"),
        (
            "augment",
            {"crop": {"shorter_side": [20, 40]}},
            "augment.crop.shorter_side[0]: 20: is too small; use at least data.image_size, 24",
        ),
    ],
)
def test_mistakes_with_image_files(values: dict[str, Any], section: str, change: dict[str, Any], line: str) -> None:
    files = {"name": "imagefolder", "source": "images", "storage": "files", "image_size": 24, "shorter_side": 28}
    values["data"].update(files)
    values["split"]["test"] = None
    values["augment"].update({"pad": 0, "crop": {"shorter_side": [24, 40]}})
    assert check_params(values, Path("params.yaml")).data.storage == "files"
    values[section].update(change)
    (problem,) = problems(values)
    assert problem.startswith(line)


def test_a_number_for_the_precision_is_understood(values: dict[str, Any]) -> None:
    values["train"]["precision"] = 32  # what `dvc exp run -S train.precision=32` writes
    assert check_params(values, Path("params.yaml")).train.precision == "32"


def test_a_missing_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: does not exist; run from the repository's root"):
        load_config(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(("text", "problem"), [("a: [1", "is not valid YAML"), ("- 1\n", "contains list; write")])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=problem):
        load_config(path)


def test_the_configuration_can_not_be_changed() -> None:
    config = load_config(ROOT / "params.yaml")
    with pytest.raises(ValueError, match="frozen"):
        config.optimizer.lr = 1.0  # pyright: ignore[reportAttributeAccessIssue]


def test_dvc_and_resgrid_read_the_same_numbers(tmp_path: Path) -> None:
    path = shutil.copy(ROOT / "params.yaml", tmp_path)
    plain = YAML(typ="safe", pure=True).load(Path(path))
    assert load_config(Path(path)).model_dump(exclude_unset=True) == plain


def test_a_stage_reads_the_sections_that_it_declares_and_no_others(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(
        "augment: {normalize: channel, pad: 0, flip: true}\n"
        "evaluate: {batch_size: 7, threads: 1}\n"
        "optimizer: {lr: none of its business}\n"
    )
    assert load_params(EvaluateParams, path).evaluate.batch_size == 7
    path.write_text("augment: {}\nevalute: {}\n")
    with pytest.raises(ConfigError, match="evalute: unknown section; use preset, data, "):
        load_params(EvaluateParams, path)


@pytest.mark.parametrize(
    ("ensembles", "line"),
    [
        (
            [{"name": "deep", "cells": ["resnet32-*", "resnet44-*"]}],
            "report.ensembles[0].cells[1]: 'resnet44-*': matches no cell of the grid; "
            "use patterns of <network>-<seed>, such as plain8-0",
        ),
        (
            [{"name": "one", "cells": ["plain8-0"]}],
            "report.ensembles[0].cells: ['plain8-0']: match one cell; use patterns of two or more",
        ),
        (
            [{"name": "plain8", "cells": ["plain*"]}],
            "report.ensembles[0].name: 'plain8': is taken by a network or an ensemble above; use another name",
        ),
        (
            [{"name": "all", "cells": ["*"]}, {"name": "all", "cells": ["*"]}],
            "report.ensembles[1].name: 'all': is taken by a network or an ensemble above; use another name",
        ),
        ([{"name": "all", "cells": []}], "report.ensembles[0].cells: []: list should have at least 1 item"),
        ([{"cells": ["*"]}], "report.ensembles[0].name: is missing; add it"),
    ],
)
def test_a_mistake_in_an_ensemble_is_named(values: dict[str, Any], ensembles: list[Any], line: str) -> None:
    values["report"]["ensembles"] = ensembles
    (found,) = problems(values)
    assert found.startswith(line)


@pytest.mark.parametrize(
    "source",
    ["http://me:secret@host/x.zip", "https://secret@host/x.zip", "https://host/x.zip?X-Amz-Signature=secret"],
)
def test_credentials_in_the_source_are_refused_and_not_shown(values: dict[str, Any], source: str) -> None:
    values["data"]["source"] = source
    (line,) = problems(values)
    assert line.startswith("data.source: 'http")
    assert "set the environment variable RESGRID_DATA_SOURCE to the whole URL or use ~/.netrc" in line
    assert "secret" not in line


@pytest.mark.parametrize(("section", "name"), [("grid", "seed"), ("split", "seed"), ("search", "seed")])
def test_a_seed_beyond_numpy_s_is_named(values: dict[str, Any], section: str, name: str) -> None:
    values[section][name] = [2**32] if section == "grid" else 2**32
    (line,) = problems(values)
    place = "grid.seed[0]" if section == "grid" else f"{section}.seed"
    assert line == f"{place}: 4294967296: should be less than or equal to 4294967295"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("label: café\n".encode("cp1252"), r"is not UTF-8 \(.* at byte 10\); save it as UTF-8"),
        ("a: 1\n".encode("utf-16"), "is not UTF-8 .*; save it as UTF-8"),
        (b"a: " + b"[" * 3000 + b"]" * 3000, "is nested too deeply"),
        (b"a: &a [*a]", "is nested too deeply|expand to more than 100,000 values"),
        (
            b"a0: &a0 [1]\n"
            + b"".join(b"a%d: &a%d [%s]\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 12)),
            "aliases expand to more than 100,000 values",
        ),
        (b"a: 2026-13-45\n", "month must be in|is not valid YAML"),
        (b"a: 1\na: 2\n", "is not valid YAML"),
        (b"a: \x00", "is not valid YAML"),
        (b"? [1, 2]\n: 3\n", "unknown section|is not valid YAML"),
    ],
)
def test_a_file_that_can_not_be_read_is_named_in_a_short_message(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=problem) as error:
        load_params(EvaluateParams, path)
    assert str(path) in str(error.value)
    assert len(str(error.value)) < 2000


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + (ROOT / "params.yaml").read_bytes())
    assert load_config(path).preset == "digits"


def test_a_long_value_is_shortened(values: dict[str, Any]) -> None:
    values["optimizer"]["lr"] = "x" * 10_000
    (line,) = problems(values)
    assert len(line) < 300


@seeds(some=300, thousands=5000)
def test_a_file_with_random_damage_is_read_or_named(tmp_path: Path, seeds: range) -> None:
    whole, path = (ROOT / "params.yaml").read_bytes(), tmp_path / "params.yaml"
    part = whole[whole.index(b"\noptimizer:") : whole.index(b"\nreport:")]  # the whole file takes ten times as long
    for seed in seeds:
        path.write_bytes(with_damage(part, seed))
        try:
            load_config(path)
        except ConfigError as error:
            assert str(error).startswith(f"{path}: ")  # noqa: PT017 (either is right)


@seeds(some=400, thousands=10_000)
def test_random_values_are_accepted_or_named(values: dict[str, Any], seeds: range) -> None:
    odd = [
        None,
        True,
        -1,
        0,
        2**70,
        1e308,
        float("nan"),
        "",
        "x",
        "\x1b[31m",
        "\ud800",
        [],
        [[]],
        {},
        {"a": 1},
        [None],
        0.5,
    ]
    places = [(section, name) for section, part in values.items() if isinstance(part, dict) for name in part]
    for seed in seeds:
        generator = random.Random(seed)
        changed = copy.deepcopy(values)
        for _ in range(generator.randint(1, 3)):
            section, name = generator.choice(places)
            changed[section][name] = generator.choice(odd)
        with suppress(ConfigError):
            check_params(changed, Path("params.yaml"))
