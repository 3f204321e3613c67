"""Where raw files come from, and that they are the right ones, or else nothing is there and the error says why."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from resgrid.config.data import DataConfig
from resgrid.data.fetching.content import SourceError
from resgrid.data.fetching.fetch import fetch
from resgrid.data.fetching.raw_files import raw_files
from resgrid.datasets import DATASETS, Dataset
from support.data_formats import (
    SAMPLES,
    Sample,
    cifar10_sample,
    contents,
    image_files,
    mnist_sample,
    put,
    sha256,
    tar,
    zipped,
)
from tests.data.conftest import Mirror

RAW = Path("data/raw")


def unpacked(sample: Sample) -> dict[str, bytes]:
    return {name.removesuffix(".gz"): gzip.decompress(content) for name, content in sample.files.items()}


def test_digits_come_with_scikit_learn_whatever_mirror_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESGRID_DATA_SOURCE", "no-such-folder")
    fetch(DataConfig(name="digits"))
    assert sha256((RAW / "digits.csv").read_bytes()) == DATASETS["digits"].files[0].sha256
    assert contents(RAW).keys() == {"digits.csv"}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.name)
def test_published_formats_come_from_a_mirror(sample: Sample, mirror: Mirror) -> None:
    mirror.files = sample.files
    fetch(sample.config(mirror.address + "/"))
    assert contents(RAW) == (unpacked(sample) if "mnist" in sample.name else sample.files)
    assert not list(Path("state").rglob("*.part"))


def test_packed_or_unpacked_from_a_mirror_or_a_folder_gives_the_same_bytes(mirror: Mirror) -> None:
    sample = mnist_sample()
    mirror.files = sample.files
    places = [mirror.address, put(Path("packed"), sample.files), put(Path("plain"), unpacked(sample))]
    repacked = {name: gzip.compress(gzip.decompress(content), 1) for name, content in sample.files.items()}
    places.append(put(Path("repacked"), repacked))
    for number, place in enumerate(places):
        fetch(sample.config(place), into=Path(f"raw{number}"))
        assert contents(Path(f"raw{number}")) == unpacked(sample)


def test_the_environment_names_a_mirror_and_the_parameter_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = mnist_sample()
    monkeypatch.setenv("RESGRID_DATA_SOURCE", str(put(Path("mirror"), sample.files)))
    fetch(sample.config())
    assert contents(RAW) == unpacked(sample)
    with pytest.raises(SourceError, match="elsewhere: does not exist"):
        fetch(sample.config("elsewhere"), into=Path("other"))


def test_an_installed_package_comes_before_the_web(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = mnist_sample()
    folder = put(Path("package"), sample.files)
    monkeypatch.setitem(DATASETS, "mnist", published(sample, folders=(folder,), addresses=("http://127.0.0.1:9/",)))
    fetch(DataConfig(name="mnist"))
    assert contents(RAW) == unpacked(sample)


def test_the_next_published_address_is_tried(
    monkeypatch: pytest.MonkeyPatch, mirror: Mirror, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = cifar10_sample()
    mirror.files = sample.files
    addresses = (f"{mirror.address}/gone", mirror.address)
    monkeypatch.setitem(DATASETS, "cifar10", published(sample, addresses=addresses))
    fetch(DataConfig(name="cifar10"))
    assert contents(RAW) == sample.files
    said = capsys.readouterr().err
    assert "404 Not Found; fix the URL; trying the next location" in said
    assert f"cifar-10-python.tar.gz: taken from {mirror.address}/cifar-10-python.tar.gz" in said


def test_a_given_source_is_never_left_for_another_place(monkeypatch: pytest.MonkeyPatch, mirror: Mirror) -> None:
    sample = cifar10_sample()
    mirror.files = sample.files
    folder = put(Path("package"), sample.files)
    monkeypatch.setitem(DATASETS, "cifar10", published(sample, (folder,), (mirror.address,)))
    Path("empty").mkdir()
    with pytest.raises(SourceError, match=r"empty: contains no file cifar-10-python.tar.gz"):
        fetch(DataConfig(name="cifar10", source="empty"))
    monkeypatch.setenv("RESGRID_DATA_SOURCE", f"{mirror.address}/gone")
    with pytest.raises(SourceError, match=r"/gone/cifar-10-python.tar.gz: the server answered 404"):
        fetch(DataConfig(name="cifar10"))


def test_when_no_address_gives_it_all_are_named(monkeypatch: pytest.MonkeyPatch, mirror: Mirror) -> None:
    addresses = (f"{mirror.address}/a", f"{mirror.address}/b")
    monkeypatch.setitem(DATASETS, "cifar10", published(cifar10_sample(), addresses=addresses))
    with pytest.raises(SourceError, match=r"(?s)/a/cifar.*404.*/b/cifar.*404.*RESGRID_DATA_SOURCE"):
        fetch(DataConfig(name="cifar10"))


def published(sample: Sample, folders: tuple[Path, ...] = (), addresses: tuple[str, ...] = ()) -> Dataset:
    """The sample as if it were what is published under its name."""
    folder = str(folders[0]) if folders else None
    return replace(DATASETS[sample.name], files=raw_files(sample.config()), urls=addresses, system_folder=folder)


def test_the_very_file_can_be_the_source(mirror: Mirror) -> None:
    sample = cifar10_sample()
    mirror.files = sample.files
    places = [put(Path("here"), sample.files), mirror.address]
    for number, source in enumerate(f"{place}/cifar-10-python.tar.gz" for place in places):
        fetch(sample.config(source), into=Path(f"raw{number}"))
        assert contents(Path(f"raw{number}")) == sample.files


def test_a_checksum_may_be_of_the_packed_file() -> None:
    sample = mnist_sample()
    given = {name: sha256(content) for name, content in sample.files.items()}
    folder = put(Path("mirror"), sample.files)
    fetch(DataConfig(name="mnist", source=str(folder), sha256=given))
    assert contents(RAW) == unpacked(sample)
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b"other"))
    with pytest.raises(SourceError, match=r"t10k-labels-idx1-ubyte.gz: has the wrong checksum"):
        fetch(DataConfig(name="mnist", source=str(folder), sha256=given), into=Path("other"))


def test_what_is_complete_is_not_fetched_again() -> None:
    sample = mnist_sample()
    fetch(sample.config(put(Path("mirror"), sample.files)))
    fetch(sample.config("gone since"))


def test_what_was_there_before_goes() -> None:
    sample = mnist_sample()
    put(RAW, {"old-file": b"", "train-images-idx3-ubyte": b"changed"})
    fetch(sample.config(put(Path("mirror"), sample.files)))
    assert contents(RAW) == unpacked(sample)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[: len(content) // 2], "truncated or damaged"),
        (lambda _: gzip.compress(b"another file"), "wrong checksum, SHA-256 [0-9a-f]{64} .expected [0-9a-f]{64}."),
        (lambda _: b"<html>Please log in</html>", "is an HTML page, such as a login"),
        (lambda content: content[:200] + bytes(100) + content[300:], "truncated or damaged"),
        (lambda _: b"", "wrong checksum"),
    ],
    ids=["truncated", "another file", "login page", "damaged", "empty"],
)
@pytest.mark.parametrize("where", ["folder", "mirror"])
def test_a_wrong_file_is_named_and_nothing_is_left(
    damage: Callable[[bytes], bytes], message: str, where: str, mirror: Mirror
) -> None:
    sample = mnist_sample()
    bad = "t10k-images-idx3-ubyte.gz"
    mirror.files = sample.files | {bad: damage(sample.files[bad])}
    place = mirror.address if where == "mirror" else put(Path("mirror"), mirror.files)
    with pytest.raises(SourceError, match=f"(?s){place}/{bad}.*{message}"):
        fetch(sample.config(place))
    assert not RAW.exists()
    assert [path.name for path in Path("data").iterdir()] == [".raw.lock"]
    assert not list(Path("state").rglob("*.part"))  # a wrong download must not be taken up again


def test_an_old_folder_survives_a_failure() -> None:
    put(RAW, {"old-file": b"old"})
    with pytest.raises(SourceError):
        fetch(mnist_sample().config("nowhere"))
    assert contents(RAW) == {"old-file": b"old"}


def test_a_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resgrid.data.fetching.content._DECOMPRESSED_LIMIT", 1000)
    sample = mnist_sample()
    with pytest.raises(
        SourceError, match=r"train-images-idx3-ubyte.gz: is not the right file: .* more than 1,000 bytes"
    ):
        fetch(sample.config(put(Path("mirror"), sample.files)))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere", "nowhere: does not exist; set a folder that contains train-images-idx3-ubyte.gz"),
        ("some-file", "some-file: is not a folder"),
        ("empty", "empty: contains no file train-images-idx3-ubyte.gz or train-images-idx3-ubyte"),
        ("ftp://127.0.0.1/", "has another scheme than http or https"),
    ],
)
def test_a_source_without_the_file_is_an_error(source: str, message: str) -> None:
    Path("some-file").touch()
    Path("empty").mkdir()
    with pytest.raises(ValueError, match=message):
        fetch(mnist_sample().config(source))
    assert not RAW.exists()


def test_a_checksum_for_an_unknown_file_is_an_error() -> None:
    given = {"cifar-10.tar.gz": "0" * 64}
    with pytest.raises(
        ValueError, match=r"data.sha256: 'cifar-10.tar.gz': is not a file of cifar10; use cifar-10-python.tar.gz"
    ):
        fetch(DataConfig(name="cifar10", sha256=given))


@pytest.mark.parametrize("style", ["dots", "capitals", "published"])
def test_files_under_the_names_that_unpackers_give_them_are_found(style: str) -> None:
    sample = mnist_sample()
    rename = {"dots": lambda name: name.replace("-idx", ".idx"), "capitals": str.upper, "published": str}[style]
    folder = put(Path("mirror"), {rename(name): content for name, content in unpacked(sample).items()})
    fetch(sample.config(folder))
    assert contents(RAW) == unpacked(sample)


def test_an_unpacked_archive_gets_a_sentence() -> None:
    put(Path("mirror/cifar-10-batches-py"), {"data_batch_1": b""})
    for source in ("mirror", "mirror/cifar-10-batches-py"):
        with pytest.raises(
            SourceError, match=r"contains no file cifar-10-python.tar.gz; add it \(an archive as it was published"
        ):
            fetch(DataConfig(name="cifar10", source=source))


def test_credentials_come_from_the_environment_and_are_shown_nowhere(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = tar(image_files())
    mirror.files = {"mine.tar.gz?sig=token&v=1": content}
    mirror.faults = ["500"]
    monkeypatch.setenv(
        "RESGRID_DATA_SOURCE", f"{mirror.address}/mine.tar.gz?sig=token&v=1".replace("//", "//me:secret@")
    )
    config = DataConfig(name="imagefolder", source=f"{mirror.address}/mine.tar.gz", sha256={})
    with pytest.raises(ValueError, match="has no checksum") as error:
        fetch(config)
    known = config.model_copy(update={"sha256": {"mine.tar.gz": sha256(content)}})
    fetch(known)
    assert contents(RAW) == {"images.tar.gz": content}
    said = capsys.readouterr().err + str(error.value)
    assert "retrying" in said
    for secret in ("secret", "token"):
        assert secret not in said
        assert not any(secret in path.name for path in Path("state").rglob("*"))


# Image folders


@pytest.mark.parametrize("extension", [".tar.gz", ".tgz", ".zip", ".tar", ".TAR.GZ"])
def test_an_image_archive_is_kept_as_it_is(extension: str) -> None:
    content = zipped(image_files()) if extension == ".zip" else tar(image_files())
    put(Path(), {f"mine{extension}": content})
    fetch(DataConfig(name="imagefolder", source=f"mine{extension}"))
    assert contents(RAW) == {f"images{extension.lower()}": content}


def test_an_image_folder_is_packed_in_the_same_bytes_wherever_it_lies() -> None:
    files = image_files()
    put(Path("one"), files)
    put(Path("two"), dict(reversed(files.items())))
    put(Path("two"), {"README": b"not an image"})
    os.utime(Path("two/train/cat/0.png"), (0, 0))
    Path("two/train/cat/0.png").chmod(0o600)
    Path("two/train/dog").rename("two/elsewhere")
    Path("two/train/dog").symlink_to("../elsewhere")
    for name in ("one", "two"):
        fetch(DataConfig(name="imagefolder", source=name), into=Path(f"raw-{name}"))
    assert contents(Path("raw-one")) == contents(Path("raw-two"))
    with tarfile.open("raw-one/images.tar") as archive:
        assert archive.getnames() == sorted(files)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere.zip", "'nowhere.zip': does not exist"),
        ("notes.txt", r"is neither a folder nor an archive; use a file that ends in .tar.gz, .tgz, .tar, .zip"),
        ("empty", "empty: contains no folder 'train' .found: nothing"),
        ("http://127.0.0.1/images.rar", "is not an archive"),
    ],
)
def test_a_source_of_images_that_is_none_is_an_error(source: str, message: str) -> None:
    Path("notes.txt").touch()
    Path("empty").mkdir()
    with pytest.raises(ValueError, match=message):
        fetch(DataConfig(name="imagefolder", source=source))
    assert not RAW.exists()


def test_a_local_archive_or_folder_is_verified_if_asked() -> None:
    put(Path(), {"mine.tar.gz": tar(image_files())})
    put(Path("folder"), image_files())
    for source, key in (("mine.tar.gz", "mine.tar.gz"), ("folder", "images.tar")):
        with pytest.raises(SourceError, match=f"(?s){source}.*wrong checksum"):
            fetch(DataConfig(name="imagefolder", source=source, sha256={key: "0" * 64}))
    good = sha256(Path("mine.tar.gz").read_bytes())
    fetch(DataConfig(name="imagefolder", source="mine.tar.gz", sha256={"mine.tar.gz": good}))


def test_a_downloaded_image_archive_needs_a_checksum_and_is_not_downloaded_twice(mirror: Mirror) -> None:
    content = tar(image_files())
    mirror.files = {"mine.tar.gz": content}
    source = f"{mirror.address}/mine.tar.gz"
    with pytest.raises(ValueError, match=f"has no checksum(?s:.*)sha256: {{mine.tar.gz: {sha256(content)}}}"):
        fetch(DataConfig(name="imagefolder", source=source))
    assert not RAW.exists()
    fetch(DataConfig(name="imagefolder", source=source, sha256={"mine.tar.gz": sha256(content)}))
    assert contents(RAW) == {"images.tar.gz": content}
    assert [span for _, span in mirror.asked] == [None, f"bytes={len(content)}-"]


# Processes and disks


def fetch_elsewhere(config: DataConfig, into: Path) -> subprocess.Popen[str]:
    program = (
        "import sys; from pathlib import Path; from resgrid.config.data import DataConfig; "
        "from resgrid.data.fetching.fetch import fetch; "
        "fetch(DataConfig.model_validate_json(sys.argv[1]), Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", program, config.model_dump_json(), str(into)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def test_two_processes_at_once_fetch_once(mirror: Mirror) -> None:
    sample = cifar10_sample()
    mirror.files = sample.files
    mirror.faults = ["drop"]  # keeps the first one busy for a second
    processes = [fetch_elsewhere(sample.config(mirror.address), RAW) for _ in range(2)]
    said = sorted(process.communicate(timeout=60)[1].splitlines()[-1] for process in processes)
    assert [process.returncode for process in processes] == [0, 0]
    assert said[0].startswith("cifar-10-python.tar.gz: taken from")
    assert said[1].endswith("complete already, and the checksums match")
    assert contents(RAW) == sample.files


def test_two_processes_for_two_folders_take_turns_with_the_download(mirror: Mirror) -> None:
    sample = cifar10_sample()
    mirror.files = sample.files
    mirror.faults = ["drop", "drop"]  # keeps the first one busy for two seconds
    folders = [Path("first/raw"), Path("second/raw")]
    processes = [fetch_elsewhere(sample.config(mirror.address), folder) for folder in folders]
    said = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert [contents(folder) for folder in folders] == [sample.files] * 2
    assert sorted(text.count("retrying") for text in said) == [0, 2]


def error_after(restriction: str, config: DataConfig) -> str:
    """What `fetch` says in a process that has restricted itself."""
    program = f"""
import os, resource, sys
from resgrid.config.data import DataConfig
from resgrid.data.fetching.fetch import fetch
config = DataConfig.model_validate_json(sys.argv[1])
{restriction}
try:
    fetch(config)
except OSError as error:
    print(error)
"""
    command = [sys.executable, "-c", program, config.model_dump_json()]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60, check=True).stdout.strip()


def test_a_read_only_folder_is_named(tmp_path: Path) -> None:
    config = mnist_sample().config(put(Path("mirror"), mnist_sample().files))
    Path("data").mkdir()
    Path("data").chmod(0o555)
    tmp_path.chmod(0o755)
    said = error_after("if os.geteuid() == 0: os.setuid(65534)", config)  # root may write everywhere
    assert said == "[Errno 13] Permission denied; make the folder around it writable: 'data/raw'"


def test_a_full_disk_is_named_and_nothing_is_left() -> None:
    # The kernel refuses to let a file grow, as on a full disk: the same write fails, with another number.
    config = mnist_sample().config(put(Path("mirror"), mnist_sample().files))
    said = error_after("resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))", config)
    assert said.startswith("[Errno 27] File too large; make room in ")
    assert said.endswith("'data/.raw.partial/train-images-idx3-ubyte'")
    assert contents(Path("data")).keys() == {".raw.lock"}
