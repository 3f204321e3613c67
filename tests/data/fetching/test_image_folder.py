"""Image folders of all sorts: which files count, what is refused with its name, and no advice that can't help."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from resgrid.config.data import DataConfig, SplitConfig
from resgrid.data.fetching.fetch import fetch
from resgrid.data.fetching.source_state import source_changed
from resgrid.data.preparing.prepare import prepare
from support.data_formats import contents, image_files, put, tar, zipped

STORAGES = ("arrays", "files")


def config(storage: str = "arrays", source: str = "photos", follow_links: bool = False) -> DataConfig:
    sizes = {"image_size": 8, "shorter_side": 8} if storage == "files" else {}
    values = {"name": "imagefolder", "source": source, "storage": storage, "follow_links": follow_links}
    return DataConfig.model_validate(values | sizes)


def raw(folder: dict[str, bytes], storage: str = "arrays") -> dict[str, bytes]:
    put(Path("photos"), folder)
    fetch(config(storage))
    return contents(Path("data/raw"))


@pytest.mark.parametrize("storage", STORAGES)
def test_system_files_change_nothing(storage: str) -> None:
    clean = raw(image_files(), storage)
    junk = ("train/.DS_Store", "train/cat/.DS_Store", "train/cat/Thumbs.db", "test/desktop.ini", "test/cat/._0.png")
    assert raw(dict.fromkeys(junk, b"junk"), storage) == clean


@pytest.mark.parametrize("storage", STORAGES)
def test_all_files_that_can_not_be_used_are_listed_at_once(storage: str) -> None:
    bad = {f"train/cat/{number:02}.txt": b"" for number in range(25)}
    with pytest.raises(ValueError, match=r"^photos: 26 files can't be used; fix or remove them:\n") as error:
        raw(image_files() | bad | {"test/dog/a\rb.png": b""}, storage)
    lines = str(error.value).splitlines()
    assert lines[1] == r"  'test/dog/a\rb.png': contains a control character"
    assert lines[2].startswith("  'train/cat/00.txt': is not an image; use .jpg, ")
    assert lines[21:] == ["  and 6 more"]


@pytest.mark.parametrize("storage", STORAGES)
def test_a_file_in_the_way_is_removed_and_the_next_run_goes_through(storage: str) -> None:
    with pytest.raises(ValueError, match=r"'train/cat/README.txt': is not an image"):
        raw(image_files() | {"train/cat/README.txt": b""}, storage)
    assert not Path("data/raw").exists()
    Path("photos/train/cat/README.txt").unlink()
    assert raw({}, storage)


def test_a_damaged_archive_fails_in_the_download_and_a_good_one_follows() -> None:
    whole = tar(image_files())
    put(Path(), {"photos.tar.gz": whole[:-2000]})
    with pytest.raises(ValueError, match=r"photos.tar.gz: .*is truncated or damaged"):
        fetch(config(source="photos.tar.gz"))
    assert not Path("data/raw").exists()
    put(Path(), {"photos.tar.gz": whole})
    fetch(config(source="photos.tar.gz"))
    assert prepare(config(source="photos.tar.gz"), SplitConfig(val=2)).counts == {"train": 10, "val": 2, "test": 4}


@pytest.mark.parametrize("storage", STORAGES)
def test_a_change_of_the_folder_after_the_download_is_noticed(storage: str) -> None:
    assert not source_changed(config(storage))  # nothing is known yet
    raw(image_files(), storage)
    assert not source_changed(config(storage))
    put(Path("photos"), {"README.txt": b"", "train/cat/.DS_Store": b""})
    assert not source_changed(config(storage))
    added = put(Path("photos"), {"train/cat/9.png": image_files()["train/cat/0.png"]}) / "train/cat/9.png"
    assert source_changed(config(storage))
    raw({}, storage)
    assert not source_changed(config(storage))
    added.write_bytes(b"longer")
    assert source_changed(config(storage))
    added.unlink()
    assert source_changed(config(storage))
    raw({}, storage)
    os.mkfifo("photos/train/cat/pipe.png")
    assert source_changed(config(storage))  # and `download` names the file


def test_a_change_of_an_archive_after_the_download_is_noticed() -> None:
    archive = put(Path(), {"photos.tar.gz": tar(image_files())}) / "photos.tar.gz"
    fetch(config(source="photos.tar.gz"))
    assert not source_changed(config(source="photos.tar.gz"))
    os.utime(archive, ns=(0, 0))
    assert source_changed(config(source="photos.tar.gz"))
    assert not source_changed(DataConfig(name="digits"))


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("where", ["train/cat/x.png", "train/owl", "test/cat", "test"])
def test_a_link_that_leads_out_is_refused(storage: str, where: str) -> None:
    put(Path("photos"), image_files())
    put(Path("private"), {"key": b"secret", "0.png": image_files()["train/cat/0.png"]})
    link = Path("photos") / where
    if link.exists():
        link.rename("elsewhere")
    target = Path("private/key") if where.endswith("png") else Path("private")
    link.symlink_to(target.absolute())
    with pytest.raises(ValueError, match=f"'{where}': is a link out of the folder; .* data.follow_links: true"):
        fetch(config(storage))
    assert not Path("data/raw").exists()


@pytest.mark.parametrize("storage", STORAGES)
def test_links_out_are_followed_on_request_and_the_folder_itself_may_be_a_link(storage: str) -> None:
    plain = raw(image_files(), storage)
    Path("photos/train/cat").rename("cat")
    Path("photos/train/cat").symlink_to(Path("cat").absolute())
    Path("photos").rename("real")
    Path("photos").symlink_to("real")
    fetch(config(storage, follow_links=True))
    assert contents(Path("data/raw")) == plain


@pytest.mark.parametrize("name", ["train/cat/loop", "train/loop"])
def test_a_link_to_a_folder_above_ends(name: str) -> None:
    put(Path("photos"), image_files())
    (Path("photos") / name).symlink_to(Path("photos").absolute())
    with pytest.raises(ValueError, match="is not in the layout"):
        fetch(config())


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("name", ["train/cat/pipe.png", "train/cat/broken.png", "train/owl"])
def test_what_is_not_a_regular_file_is_refused_and_not_read(storage: str, name: str) -> None:
    put(Path("photos"), image_files())
    if "broken" in name:
        (Path("photos") / name).symlink_to("missing.png")
    else:
        os.mkfifo(Path("photos") / name)
    with pytest.raises(ValueError, match=f"'{name}': is not a regular file"):
        fetch(config(storage))


def test_a_pipe_as_the_source_is_refused() -> None:
    os.mkfifo("photos.tar")
    with pytest.raises(ValueError, match=r"'photos.tar': is neither a folder nor an archive"):
        fetch(config(source="photos.tar"))


def test_another_layout_gets_the_one_that_is_needed() -> None:
    tiny_imagenet = {"train/n01/images/0.png": b"", "val/images/0.png": b"", "val/val_annotations.txt": b""}
    with pytest.raises(ValueError, match=r"'train/n01/images/': is not in the layout; use train/<class>/<image>"):
        raw(tiny_imagenet)


def test_a_folder_without_train_names_what_it_contains() -> None:
    with pytest.raises(
        ValueError, match=r"photos: contains no folder 'train' \(found: Test, Train\); use train/<class>"
    ):
        raw({name.replace("t", "T", 1): content for name, content in image_files().items()})


def test_an_extension_in_capitals_is_an_archive() -> None:
    put(Path(), {"PHOTOS.ZIP": zipped(image_files())})
    fetch(config(source="PHOTOS.ZIP"))
    assert contents(Path("data/raw")).keys() == {"images.zip"}
    assert prepare(config(source="PHOTOS.ZIP"), SplitConfig(val=2)).label == "PHOTOS"


@pytest.mark.parametrize("form", ["folder", "archive"])
def test_what_is_not_used_is_said(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    files = image_files()
    files |= {name.replace("test/", "val/"): content for name, content in files.items() if name.startswith("test/")}
    for split in ("train", "test"):
        (put(Path("photos"), files) / split / "owl").mkdir()
    if form == "archive":
        put(Path(), {"photos.zip": zipped(files | {"train/owl/": b"", "test/owl/": b""})})
    settings = config(source="photos.zip" if form == "archive" else "photos")
    fetch(settings)
    assert prepare(settings, SplitConfig(val=2)).note == "val not used; empty class folders not used: owl"
    notes = [line for line in capsys.readouterr().err.splitlines() if "not used" in line]
    assert notes[:2] == [f"{settings.source}: val not used", f"{settings.source}: empty class folders not used: owl"]


def test_two_roots_in_an_archive_are_refused() -> None:
    files = {("a/" if name.startswith("train") else "b/") + name: content for name, content in image_files().items()}
    put(Path(), {"photos.zip": zipped(files)})
    with pytest.raises(ValueError, match=r"photos.zip: has splits in several places \(a/, b/\); put them into one"):
        fetch(config(source="photos.zip"))


@pytest.mark.parametrize("storage", STORAGES)
def test_a_class_without_enough_images_is_named(storage: str) -> None:
    raw(image_files() | {"train/owl/0.png": image_files()["train/cat/0.png"], "test/owl/0.png": b""}, storage)
    with pytest.raises(ValueError, match=r"split.val: 3: can't be taken from fewer than 2 images of the class owl"):
        prepare(config(storage), SplitConfig(val=3))


def test_a_long_name_is_refused_where_a_file_system_could_not_hold_it() -> None:
    files = {name.replace("cat", "c" * 60_000): content for name, content in image_files().items()}
    put(Path(), {"photos.tar.gz": tar(files)})
    with pytest.raises(ValueError, match=r"extended header|more than 255 bytes") as error:
        fetch(config(source="photos.tar.gz"))
    assert len(str(error.value)) < 10_000
