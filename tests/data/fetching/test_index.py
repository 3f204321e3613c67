"""Image files that stay files: their index, the place where they lie, and what happens to a changed one."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from resgrid.artifacts.files import sha256_of_file
from resgrid.config.data import DataConfig
from resgrid.data.fetching.fetch import fetch
from resgrid.data.fetching.index import read_index
from resgrid.data.reading.image_location import images_folder
from resgrid.data.reading.store import read_checked
from support.data_formats import contents, put, sha256, tar
from support.image_folder import make_image_folder
from tests.data.conftest import Mirror

INDEX = Path("data/raw/index.csv")


def config(source: object, **checksums: str) -> DataConfig:
    given = {name.replace("_", "."): value for name, value in checksums.items()}
    return DataConfig(
        name="imagefolder", source=str(source), sha256=given, storage="files", image_size=24, shorter_side=28
    )


@pytest.fixture
def folder() -> Path:
    return make_image_folder(Path("images"), train=4, test=2)


def test_the_index_names_each_file_with_size_and_checksum_and_nothing_is_copied(folder: Path) -> None:
    put(folder, {"README.txt": b"no image", "train/cat/.hidden.jpg": b"no image"})
    fetch(config(folder))
    assert contents(Path("data/raw")).keys() == {"index.csv"}
    rows = list(csv.DictReader(INDEX.read_text().splitlines()))
    assert [row["path"] for row in rows] == sorted(
        f"{split}/{name}/{number:02}.jpg"
        for split, count in (("train", 4), ("val", 2))
        for name in ("cat", "dog", "owl")
        for number in range(count)
    )
    for row in rows:
        content = (folder / row["path"]).read_bytes()
        assert (int(row["bytes"]), row["sha256"]) == (len(content), sha256(content))
    assert images_folder(sha256_of_file(INDEX)).resolve() == folder.resolve()


@pytest.mark.parametrize("around", ["", "imagenet/"])
def test_an_archive_is_unpacked_and_has_the_index_of_the_folder(folder: Path, around: str) -> None:
    fetch(config(folder))
    expected = INDEX.read_bytes()
    files = contents(folder)
    put(Path(), {"images.tar.gz": tar({around + name: content for name, content in reversed(files.items())})})
    shutil.rmtree(folder)
    fetch(config("images.tar.gz"))
    assert INDEX.read_bytes() == expected
    assert contents(images_folder(sha256_of_file(INDEX))) == files


def test_a_downloaded_archive_needs_its_checksum_and_is_unpacked(folder: Path, mirror: Mirror) -> None:
    mirror.files["images.tar.gz"] = tar(contents(folder))
    address = f"{mirror.address}/images.tar.gz"
    with pytest.raises(ValueError, match="has no checksum"):
        fetch(config(address))
    fetch(config(address, images_tar_gz=sha256(mirror.files["images.tar.gz"])))
    assert contents(images_folder(sha256_of_file(INDEX))) == contents(folder)


def test_a_folder_can_be_held_to_a_known_index(folder: Path) -> None:
    fetch(config(folder))
    known = sha256_of_file(INDEX)
    fetch(config(folder, index_csv=known))
    (folder / "train/cat/00.jpg").write_bytes(b"another")
    with pytest.raises(ValueError, match=r"the index of images: has the wrong checksum, .* .expected " + known):
        fetch(config(folder, index_csv=known))
    with pytest.raises(ValueError, match=r"data.sha256: 'images.tar': is not a file of imagefolder; use index.csv"):
        fetch(config(folder, images_tar=known))


def test_each_run_indexes_anew(folder: Path) -> None:
    fetch(config(folder))
    before = read_index(INDEX)
    (folder / "train/cat/00.jpg").write_bytes(b"another")
    fetch(config(folder))
    changed = {new.path for old, new in zip(before, read_index(INDEX), strict=True) if old != new}
    assert changed == {"train/cat/00.jpg"}


def test_a_changed_or_missing_file_is_noticed_when_it_is_read(folder: Path) -> None:
    fetch(config(folder))
    file = read_index(INDEX)[0]
    place = images_folder(sha256_of_file(INDEX))
    expected = bytes.fromhex(file.sha256)
    assert len(read_checked(place, file.path, expected)) == file.bytes
    (folder / file.path).write_bytes((folder / file.path).read_bytes() + b"\0")
    with pytest.raises(ValueError, match=r"train/cat/00.jpg: the content has changed since the images were indexed"):
        read_checked(place, file.path, expected)
    (folder / file.path).unlink()
    with pytest.raises(ValueError, match=r"train/cat/00.jpg: can't be read \(No such file or directory\)"):
        read_checked(place, file.path, expected)


def test_the_place_can_be_named_and_a_lost_one_is_explained(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch(config(folder))
    index = sha256_of_file(INDEX)
    copy = folder.rename("copy")
    with pytest.raises(
        ValueError, match=r"images/\w{16}: the folder of the image files is missing; .*--single-item download"
    ):
        images_folder(index)
    monkeypatch.setenv("RESGRID_IMAGES", "copy")
    assert images_folder(index) == copy.absolute()
    monkeypatch.setenv("RESGRID_IMAGES", "nowhere")
    with pytest.raises(ValueError, match="RESGRID_IMAGES: nowhere: the folder of the image files is missing"):
        images_folder(index)


@pytest.mark.parametrize(
    ("name", "message"),
    [("train/cat/deep/1.jpg", "train/cat/deep/': is not in"), ("train/cat/notes.txt", "notes.txt': is not an image")],
)
def test_files_that_are_no_images_are_named(folder: Path, name: str, message: str) -> None:
    put(folder, {name: b"x"})
    with pytest.raises(ValueError, match=message):
        fetch(config(folder))
    assert not INDEX.exists()


def test_a_damaged_archive_leaves_nothing(folder: Path) -> None:
    put(Path(), {"images.tar.gz": tar(contents(folder))[:-3000]})
    with pytest.raises(ValueError, match="truncated or damaged"):
        fetch(config("images.tar.gz"))
    assert not INDEX.exists()
    assert not list(Path("state").glob("images/*"))
