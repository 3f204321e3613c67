"""Prepared data: disjoint stratified splits, exact statistics, the same bytes each time, whole or not at all."""

from __future__ import annotations

import json
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.artifacts.files import sha256_of_file
from resgrid.config.data import DataConfig, SplitConfig
from resgrid.data.fetching.fetch import fetch
from resgrid.data.preparing.division import divide
from resgrid.data.preparing.duplicates import count_duplicates, pixel_digest
from resgrid.data.preparing.prepare import prepare
from resgrid.data.preparing.samples import draw_samples
from resgrid.data.preparing.statistics import Statistics
from resgrid.data.reading.normalization import read_normalization
from resgrid.data.reading.store import Split, open_split, read_mean_image
from support.data_formats import (
    Sample,
    cifar10_sample,
    cifar100_sample,
    contents,
    encoded,
    image_files,
    mnist_sample,
    put,
    tar,
)

PATHS = PreparedPaths()
DIGITS = DataConfig(name="digits")
TEN = list("0123456789")


def prepared(config: DataConfig, split: SplitConfig) -> DatasetCard:
    fetch(config)
    return prepare(config, split)


def published(sample: Sample) -> DataConfig:
    return sample.config(put(Path("mirror"), sample.files))


# The split


def labels_of(train: int, test: int | None, classes: int = 10) -> dict[str, np.ndarray]:
    labels = {"train": np.random.default_rng(0).permutation(np.arange(train) % classes)}
    return labels | ({} if test is None else {"test": np.arange(test) % classes})


@pytest.mark.parametrize(("test", "split"), [(50, SplitConfig(val=40)), (None, SplitConfig(val=40, test=50))])
def test_splits_are_disjoint_complete_and_stratified(test: int | None, split: SplitConfig) -> None:
    labels = labels_of(300, test)
    parts = divide(labels, split, TEN)
    for source, wanted in labels.items():
        rows = np.concatenate([part.rows for part in parts.values() if part.source == source])
        np.testing.assert_array_equal(np.sort(rows), np.arange(len(wanted)))
    assert {name: len(part.rows) for name, part in parts.items()}["val"] == 40
    for part in parts.values():
        counts = np.bincount(labels[part.source][part.rows])
        assert counts.max() - counts.min() <= 1
        assert (np.diff(part.rows) > 0).all()


def test_the_split_depends_on_its_seed_alone() -> None:
    labels = labels_of(300, None)
    first, again = (divide(labels, SplitConfig(val=40, test=50, seed=1), TEN) for _ in range(2))
    other = divide(labels, SplitConfig(val=40, test=50, seed=2), TEN)
    for name in first:
        np.testing.assert_array_equal(first[name].rows, again[name].rows)
        assert not np.array_equal(first[name].rows, other[name].rows)


def test_the_published_test_split_is_left_alone() -> None:
    parts = divide(labels_of(300, 50), SplitConfig(val=40), TEN)
    assert parts["test"].source == "test"
    np.testing.assert_array_equal(parts["test"].rows, np.arange(50))


@pytest.mark.parametrize(
    ("train", "split", "message"),
    [
        (
            300,
            SplitConfig(val=301),
            r"split.val: 301: doesn't fit 300 training images of 10 classes; set a number from 10 to 290",
        ),
        (300, SplitConfig(val=291), r"split.val: 291: .* from 10 to 290"),
        (300, SplitConfig(val=9), r"split.val: 9: .* from 10 to 290"),
        (15, SplitConfig(val=10), r"split.val: 10: can't be taken from fewer than 2 images of the class 5, 6, 7, 8, 9"),
        (300, SplitConfig(val=10, test=295), r"split.test: 295: .* from 10 to 290"),
        (300, SplitConfig(val=100, test=200), r"split.val: 100: doesn't fit 100 training images .* from 10 to 90"),
    ],
)
def test_a_split_that_does_not_fit_is_named(train: int, split: SplitConfig, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        divide(labels_of(train, None if split.test else 50), split, TEN)


# Statistics


def test_statistics_are_exact_by_hand() -> None:
    statistics = Statistics((2, 1, 2))
    statistics.add(np.array([[[[0, 255]], [[51, 51]]]], np.uint8))
    statistics.add(np.array([[[[255, 255]], [[51, 51]]], [[[0, 0]], [[51, 51]]], [[[0, 0]], [[51, 51]]]], np.uint8))
    np.testing.assert_array_equal(statistics.mean_image, [[[0.25, 0.5]], [[0.2, 0.2]]])
    assert statistics.channel_mean == [0.375, 0.2]
    assert statistics.channel_std == pytest.approx([(15 / 64) ** 0.5, 0.0], abs=1e-15)  # p(1 - p) with p = 3/8


def test_statistics_are_of_the_training_part_alone() -> None:
    sample = cifar10_sample()
    card = prepared(published(sample), SplitConfig(val=20))
    train = open_split(PATHS, "train").images / 255.0
    assert len(train) == 30
    np.testing.assert_allclose(read_mean_image(PATHS), train.mean(0), rtol=1e-6)
    np.testing.assert_allclose(card.channel_mean, train.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(card.channel_std, train.std((0, 2, 3)), rtol=1e-12)
    assert read_mean_image(PATHS).dtype == np.float32


# What is written


@pytest.mark.parametrize("sample", [mnist_sample(), cifar10_sample()], ids=lambda s: s.name)
def test_each_image_is_written_once_with_its_label(sample: Sample) -> None:
    card = prepared(published(sample), SplitConfig(val=20))
    test = open_split(PATHS, "test")
    np.testing.assert_array_equal(test.images, sample.images["test"])
    np.testing.assert_array_equal(test.labels, sample.labels["test"])
    parts = [open_split(PATHS, name) for name in ("train", "val")]
    written = [
        (image.tobytes(), label) for part in parts for image, label in zip(part.images, part.labels, strict=True)
    ]
    original = zip(sample.images["train"], sample.labels["train"], strict=True)
    assert sorted(written) == sorted((image.tobytes(), label) for image, label in original)
    assert card.counts == {"train": len(parts[0].labels), "val": 20, "test": len(test.labels)}


def test_the_card_says_what_the_data_are() -> None:
    card = prepared(DIGITS, SplitConfig(val=240, test=360))
    assert card == DatasetCard.read(PATHS.card)
    assert (card.name, card.label, card.note) == ("digits", "Digits (8×8)", "own split of scikit-learn's 1,797 images")
    assert card.shape == (1, 8, 8)
    assert card.classes == list("0123456789")
    assert card.counts == {"train": 1197, "val": 240, "test": 360}
    files = contents(PATHS.root)
    assert card.sha256.keys() == files.keys() - {"card.json"}
    assert all(card.sha256[name] == sha256_of_file(PATHS.root / name) for name in card.sha256)


@pytest.mark.parametrize(
    ("label", "source", "expected"),
    [(None, "some/pets.tar.gz", "pets"), ("Pets", "some/pets.tar.gz", "Pets"), (None, "some/pets-2", "pets-2")],
)
def test_image_folders_are_labelled(label: str | None, source: str, expected: str) -> None:
    put(Path("some"), {"pets.tar.gz": tar(image_files("JPEG"))})
    put(Path("some/pets-2"), image_files("JPEG"))
    card = prepared(DataConfig(name="imagefolder", label=label, source=source, image_size=16), SplitConfig(val=2))
    assert card.label == expected
    assert card.note == "decoded from JPEG (lossy); resized to 16×16 pixels"


def test_files_that_are_not_the_published_ones_are_noted() -> None:
    card = prepared(published(mnist_sample()), SplitConfig(val=20))
    assert card.label == "MNIST"
    assert card.note == "not the published files: checksums given in params.yaml"


def test_the_same_bytes_each_time_and_in_each_process() -> None:
    prepared(DIGITS, SplitConfig(val=240, test=360))
    first = contents(PATHS.root)
    program = (
        "from resgrid.config.data import DataConfig, SplitConfig; from resgrid.data.preparing.prepare import prepare; "
        "prepare(DataConfig(name='digits'), SplitConfig(val=240, test=360))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120, stderr=subprocess.DEVNULL)
    assert contents(PATHS.root) == first


def test_another_seed_gives_other_data() -> None:
    first, second = (prepared(DIGITS, SplitConfig(val=240, test=360, seed=seed)) for seed in (0, 1))
    assert first.data_hash != second.data_hash


def test_a_card_without_the_newer_fields_can_be_read() -> None:
    prepared(DIGITS, SplitConfig(val=240, test=360))
    content = json.loads(PATHS.card.read_text())
    for field in ("conversions", "duplicates"):
        del content[field]
    PATHS.card.write_text(json.dumps(content))
    card = DatasetCard.read(PATHS.card)
    assert (card.conversions, card.duplicates) == ({}, {})


# Duplicates and constant channels


def folder_of(files: dict[str, bytes], storage: str) -> DataConfig:
    sizes = {"image_size": 8, "shorter_side": 8} if storage == "files" else {}
    source = str(put(Path("folder"), files))
    return DataConfig.model_validate({"name": "imagefolder", "source": source, "storage": storage} | sizes)


@pytest.mark.parametrize("storage", ["arrays", "files"])
def test_duplicates_are_counted_by_their_pixels(storage: str, capsys: pytest.CaptureFixture[str]) -> None:
    files = image_files()
    with Image.open(BytesIO(files["train/cat/0.png"])) as image:
        other_bytes = encoded(np.asarray(image), "BMP")
    files |= {"test/cat/0.png": files["train/cat/0.png"], "test/dog/0.png": other_bytes}
    card = prepared(folder_of(files, storage), SplitConfig(val=2))
    in_val = card.duplicates["test in val"]  # the division decides where train/cat/0.png goes
    assert card.duplicates == {
        "val in train": 0,
        "test in train": 2 - in_val,
        "test in val": in_val,
        "two labels": 3,
    }
    split = "val" if in_val else "train"
    notes = f"2 test images are in {split} as well; 3 images have the pixels of an image with another label"
    assert card.note == notes
    assert notes in capsys.readouterr().err


def test_images_of_other_shapes_are_no_duplicates() -> None:
    assert pixel_digest(np.zeros((3, 2, 8), np.uint8)) != pixel_digest(np.zeros((3, 4, 4), np.uint8))
    assert pixel_digest(np.zeros((3, 4, 4), np.uint8)[:, ::2]) == pixel_digest(np.zeros((3, 2, 4), np.uint8))


def test_duplicates_by_hand() -> None:
    digests = {"train": [1, 2, 2, 3], "val": [3, 4], "test": [4, 4, 5]}
    labels = {"train": [0, 1, 0, 0], "val": [0, 0], "test": [0, 0, 1]}
    found = count_duplicates(
        {name: np.array(values, np.uint64) for name, values in digests.items()},
        {name: np.array(values) for name, values in labels.items()},
    )
    assert found == {"val in train": 1, "test in train": 0, "test in val": 2, "two labels": 2}


@pytest.mark.parametrize("storage", ["arrays", "files"])
def test_a_constant_channel_is_noted_and_normalized_to_zero(storage: str) -> None:
    files = image_files()
    for name, content in files.items():
        with Image.open(BytesIO(content)) as image:
            pixels = np.array(image)
        pixels[..., 2] = 7
        files[name] = encoded(pixels)
    card = prepared(folder_of(files, storage), SplitConfig(val=2))
    assert card.channel_std[2] == 0
    assert card.note == "constant channels, not scaled by normalization: 2"
    channel = read_normalization(PATHS, "channel", card)
    assert channel.std is not None
    assert channel.std.ravel().tolist() == [card.channel_std[0], card.channel_std[1], 1.0]


# The sample sheet


def test_long_class_names_are_shortened_on_the_sheet() -> None:
    split = Split(np.zeros((2, 3, 8, 8), np.uint8), np.array([0, 1]))
    assert draw_samples(split, ["a" * 60_000, "b"]).width < 1500


def test_the_sheet_shows_ten_samples_of_each_class() -> None:
    prepared(DIGITS, SplitConfig(val=240, test=360))
    with Image.open(PATHS.samples) as sheet:
        assert sheet.height > 10 * 64
        assert 10 * 64 < sheet.width < 900


def test_the_sheet_shows_twenty_of_many_classes_and_pixels_as_squares() -> None:
    prepared(published(cifar100_sample()), SplitConfig(val=100))
    train = open_split(PATHS, "train")
    sheet = np.asarray(draw_samples(train, [f"fine{index:02}" for index in range(100)]))
    assert len(sheet) < 21 * (64 + 8)
    first = train.images[np.flatnonzero(train.labels == 0)[0]].transpose(1, 2, 0)
    tile = first.repeat(2, 0).repeat(2, 1)
    rows = np.flatnonzero((sheet == tile[0, 0]).all(2).any(1))
    assert any(
        np.array_equal(sheet[row : row + 64, column : column + 64], tile)
        for row in rows
        for column in np.flatnonzero((sheet[row] == tile[0, 0]).all(1))
    )


def test_large_images_are_shrunk_for_the_sheet() -> None:
    images = np.zeros((2, 3, 100, 200), np.uint8)
    assert draw_samples(Split(images, np.array([0, 1])), ["a", "b"]).height < 2 * 64


# Whole or not at all


def test_what_was_there_survives_a_failure_and_nothing_half_written_is_left() -> None:
    files = image_files() | {"train/dog/5.png": encoded(np.zeros((9, 9, 3), np.uint8))}
    config = DataConfig(name="imagefolder", source=str(put(Path("folder"), files)))
    put(PATHS.root, {"card.json": b"old"})
    with pytest.raises(ValueError, match=r"train/dog/5.png': has 9×9 pixels"):
        prepared(config, SplitConfig(val=2))
    assert contents(PATHS.root) == {"card.json": b"old"}
    assert {path.name for path in Path("data").iterdir()} == {"raw", "prepared", ".raw.lock", ".prepared.lock"}


def test_what_a_killed_process_left_does_no_harm() -> None:
    put(Path("data/.prepared.partial"), {"junk": b""})
    prepared(DIGITS, SplitConfig(val=240, test=360))
    assert "junk" not in contents(PATHS.root)


@pytest.mark.parametrize("limit", [1000, 50_000])
def test_a_full_disk_is_named_and_nothing_is_left(limit: int) -> None:
    # The kernel refuses to let a file grow, as on a full disk: the same write fails, with another number.
    fetch(DIGITS)
    program = f"""
import resource
from resgrid.config.data import DataConfig, SplitConfig
from resgrid.data.preparing.duplicates import count_duplicates, pixel_digest
from resgrid.data.preparing.prepare import prepare
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    prepare(DataConfig(name="digits"), SplitConfig(val=240, test=360))
except OSError as error:
    print(error)
"""
    command = [sys.executable, "-c", program]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=120, check=True).stdout
    assert said.startswith("[Errno 27] File too large; make room in ")
    assert "data/.prepared.partial/" in said
    assert not PATHS.root.exists()
    assert not Path("data/.prepared.partial").exists()


def test_blocks_of_any_size_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared(published(mnist_sample()), SplitConfig(val=20))
    first = contents(PATHS.root)
    monkeypatch.setattr("resgrid.data.preparing.decoded.BLOCK", 7)
    prepare(published(mnist_sample()), SplitConfig(val=20))
    assert contents(PATHS.root) == first
