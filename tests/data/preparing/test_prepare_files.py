"""Prepared image files: splits, statistics of the training part, and files that can't be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.config.data import DataConfig, SplitConfig
from resgrid.data.fetching.fetch import fetch
from resgrid.data.preparing.prepare import prepare
from resgrid.data.preparing.statistics import ColorStatistics
from resgrid.data.reading.image_location import images_folder
from resgrid.data.reading.pixels import center_crop, read_rgb, scaled
from resgrid.data.reading.store import ImageFiles
from support.data_formats import contents, put
from support.image_folder import CUT_OFF, make_image_folder

PATHS = PreparedPaths()


def prepared(folder: Path, corrupt: str = "error", val: int = 6) -> DatasetCard:
    config = DataConfig.model_validate(
        {
            "name": "imagefolder",
            "source": str(folder),
            "storage": "files",
            "image_size": 24,
            "shorter_side": 28,
            "corrupt": corrupt,
        }
    )
    fetch(config)
    return prepare(config, SplitConfig(val=val))


def names(card: DatasetCard, split: str) -> list[str]:
    assert card.images is not None
    files = ImageFiles(PATHS, split, images_folder(card.images))
    return [files.name(index) for index in range(len(files))]


def test_every_readable_image_is_in_one_split_with_its_label() -> None:
    folder = make_image_folder(Path("images"))
    card = prepared(folder)
    assert (card.storage, card.shape, card.shorter_side, card.skipped) == ("files", (3, 24, 24), 28, {})
    assert card.counts == {"train": 30, "val": 6, "test": 15}
    assert card.note == "tested on val"
    assert sorted(names(card, "train") + names(card, "val") + names(card, "test")) == sorted(contents(folder))
    assert all(name.startswith("val/") for name in names(card, "test"))
    for split in card.counts:
        assert card.images is not None
        files = ImageFiles(PATHS, split, images_folder(card.images))
        assert [card.classes[label] for label in files.labels] == [name.split("/")[1] for name in names(card, split)]
        for index, name in enumerate(names(card, split)):
            assert files.read(index) == (folder / name).read_bytes()
    assert contents(PATHS.root).keys() == {
        *(f"{split}/{name}.npy" for split in card.counts for name in ("files", "labels", "sha256")),
        "mean_image.npy",
        "samples.png",
        "card.json",
    }


def test_statistics_are_of_the_central_crops_of_the_training_part() -> None:
    folder = make_image_folder(Path("images"))
    card = prepared(folder)
    crops = [center_crop(scaled(read_rgb((folder / name).read_bytes()), 28), 24) for name in names(card, "train")]
    pixels = np.stack([np.asarray(crop) for crop in crops]).transpose(0, 3, 1, 2) / 255
    np.testing.assert_allclose(np.load(PATHS.mean_image), pixels.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(card.channel_mean, pixels.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(card.channel_std, pixels.std(axis=(0, 2, 3)), rtol=1e-10)
    colors = pixels.transpose(1, 0, 2, 3).reshape(3, -1)
    np.testing.assert_allclose(card.channel_covariance or [], np.cov(colors, bias=True), rtol=1e-10)


def test_unreadable_images_are_listed_or_skipped_and_counted() -> None:
    folder = make_image_folder(Path("images"), cut_off=True)
    put(folder, {"val/owl/00.jpg": b"no image"})
    with pytest.raises(ValueError, match="can't be read") as error:
        prepared(folder)
    heading, *listed = str(error.value).splitlines()
    assert heading.startswith("images: 2 image files can't be read; fix or remove them, or set data.corrupt: skip")
    assert [line.split(":")[0] for line in listed] == [f"  '{CUT_OFF}'", "  'val/owl/00.jpg'"]
    assert not PATHS.card.exists()

    card = prepared(folder, corrupt="skip")
    assert card.skipped.keys() == {CUT_OFF, "val/owl/00.jpg"}
    assert card.skipped["val/owl/00.jpg"] == "no image of the kinds JPEG, PNG, BMP, PPM"
    assert card.note == "tested on val; 2 unreadable images skipped"
    assert card.counts["test"] == 14
    assert card.counts["train"] + card.counts["val"] == 35


def test_a_skipped_image_moves_no_other_one() -> None:
    whole, cut_off = (make_image_folder(Path(name), cut_off=name == "cut") for name in ("whole", "cut"))
    splits = {}
    for folder in (whole, cut_off):
        card = prepared(folder, corrupt="skip")
        splits[folder] = {split: set(names(card, split)) for split in card.counts}
    for split, images in splits[whole].items():
        assert images - splits[cut_off][split] == ({CUT_OFF} & images)


def test_a_class_of_which_nothing_is_left_is_an_error() -> None:
    folder = make_image_folder(Path("images"), test=1)
    put(folder, {"val/owl/00.jpg": b"no image"})
    with pytest.raises(
        ValueError, match="test: has no readable image of the class owl; images: 1 image file can't be read"
    ):
        prepared(folder, corrupt="skip")


def test_the_same_bytes_whatever_the_order_and_a_changed_file_changes_the_identity() -> None:
    folder = make_image_folder(Path("images"))
    first = prepared(folder)
    assert prepared(folder) == first
    changed = folder / "val/owl/00.jpg"
    changed.write_bytes(changed.read_bytes() + b"\0")
    assert prepared(folder).data_hash != first.data_hash


def test_a_file_that_changes_after_the_download_is_named() -> None:
    folder = make_image_folder(Path("images"))
    config = DataConfig(
        name="imagefolder", source=str(folder), storage="files", image_size=24, shorter_side=28, corrupt="skip"
    )
    fetch(config)
    (folder / "train/cat/00.jpg").write_bytes(b"another")
    with pytest.raises(ValueError, match=r"train/cat/00.jpg: the content has changed since"):
        prepare(config, SplitConfig(val=6))


def test_merged_statistics_are_those_of_all_images() -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 3, 4, 5), dtype=np.uint8)
    whole, first, second = (ColorStatistics((3, 4, 5)) for _ in range(3))
    whole.add(images)
    first.add(images[:2])
    second.add(images[2:])
    first.merge(second)
    assert first.channel_covariance == whole.channel_covariance
    assert (first.channel_mean, first.channel_std) == (whole.channel_mean, whole.channel_std)
    np.testing.assert_array_equal(first.mean_image, whole.mean_image)
    variances = np.diag(np.array(whole.channel_covariance))
    np.testing.assert_allclose(variances, np.square(whole.channel_std), rtol=1e-12)
