"""Archives from anywhere: odd names are read or refused by name, damaged and hostile archives end with one sentence."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import tarfile
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from resgrid.config.data import DataConfig
from resgrid.data.fetching import archives
from resgrid.data.fetching.archives import ArchiveError, members, read_members
from resgrid.data.fetching.fetch import fetch
from support.data_formats import contents, image_files, put, tar, zipped
from support.random_inputs import seeds, with_damage

FILES = {"train/cat/0.png": b"cat", "train/dog/0.png": b"dog" * 1000}


def everything(content: bytes, name: str = "images.tar") -> dict[str, bytes]:
    (path,) = (put(Path("archives"), {name: content}) / name,)
    return dict(read_members(path, lambda _: True))


def undeclared(content: bytes) -> bytes:
    """A zip whose names are not declared as UTF-8."""
    damaged = bytearray(content)
    for magic, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := content.find(magic, at + 1)) >= 0:
            damaged[at + flags + 1] &= ~0x08
    return bytes(damaged)


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_the_content_decides_on_the_compression(compress: Callable[[bytes], bytes]) -> None:
    assert everything(compress(tar(FILES, "w")), "images.tar.gz") == FILES


@pytest.mark.parametrize("name", ["café/ä.png", "写真　1.jpg", "plain.png"])
def test_names_in_utf_8_are_read_whether_declared_or_not(name: str) -> None:
    for content in (zipped({name: b"x"}), undeclared(zipped({name: b"x"})), tar({name: b"x"})):
        assert everything(content) == {name: b"x"}


def test_backslashes_of_windows_tools_are_separators_in_a_zip() -> None:
    content = zipped({"train/cat/": b"", "train/cat/0.png": b"x"}).replace(b"train/cat/", b"train\\cat\\")
    assert everything(content, "images.zip") == {"train/cat/0.png": b"x"}
    leads_out = zipped({"../cat/0.png": b"x"}).replace(b"../cat/", b"..\\cat\\")
    with pytest.raises(ArchiveError, match=r"'../cat/0.png': leads out of the archive"):
        everything(leads_out, "images.zip")


@pytest.mark.parametrize("legacy", ["cp1252", "cp437", "shift-jis"])
def test_a_class_in_another_encoding_is_refused(legacy: str) -> None:
    name = {"cp1252": "café", "cp437": "café", "shift-jis": "猫"}[legacy].encode(legacy)
    ascii_name = b"x" * len(name)
    files = {key.replace("cat", ascii_name.decode()): value for key, value in image_files().items()}
    for suffix, content in ((".zip", zipped(files)), (".tar", tar(files, "w"))):
        renamed = content.replace(b"/" + ascii_name + b"/", b"/" + name + b"/")
        if suffix == ".tar":
            renamed = with_new_checksums(renamed)
        put(Path(), {f"images{suffix}": renamed})
        with pytest.raises(ValueError, match=r"images.*: 8 files can't be used(?s:.*)is not a name in UTF-8"):
            fetch(DataConfig(name="imagefolder", source=f"images{suffix}"))


def with_new_checksums(content: bytes) -> bytes:
    """A tar whose headers were edited."""
    blocks = [bytearray(content[at : at + 512]) for at in range(0, len(content), 512)]
    for block in blocks:
        if block[257:262] == b"ustar":
            block[148:156] = b" " * 8
            block[148:156] = b"%06o\0 " % sum(block)
    return b"".join(blocks)


def test_a_giant_extended_header_is_refused_before_it_is_read() -> None:
    info = tarfile.TarInfo("train/cat/0.png")
    info.pax_headers = {"comment": "x" * 10_000_000}
    content = info.tobuf(tarfile.PAX_FORMAT) + bytes(1024)
    with pytest.raises(ArchiveError, match=r"an extended header of 10,0\d\d,\d{3} bytes"):
        everything(gzip.compress(content), "images.tar.gz")


def test_many_extended_headers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_UNPACKED_LIMIT", 100_000)
    monkeypatch.setattr(archives, "_UNPACKED_RATIO", 1)
    info = tarfile.TarInfo("a")
    info.pax_headers = {"comment": "x" * 30_000}
    content = info.tobuf(tarfile.PAX_FORMAT) * 20 + bytes(1024)
    with pytest.raises(ArchiveError, match="more than 100,000 bytes after decompression"):
        everything(gzip.compress(content), "images.tar.gz")


def test_damaged_compressed_data_is_one_sentence() -> None:
    packed = lzma.compress(tar(image_files(), "w"))
    with pytest.raises(ArchiveError, match=r"images.tar: is truncated or damaged \("):
        everything(packed[:200] + bytes(50) + packed[250:])
    content = BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("train/cat/0.png", random.Random(0).randbytes(3000))
    damaged = bytearray(content.getvalue())
    damaged[60:90] = bytes(30)
    with pytest.raises(ArchiveError, match=r"'train/cat/0.png': is truncated or damaged \("):
        everything(bytes(damaged), "images.zip")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"<!DOCTYPE html><title>Log in</title>", "is an HTML page"),
        (b"\n <html><body>404", "is an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "is a Git LFS pointer"),
        (b"", "is truncated or damaged"),
        (b"text", "is truncated or damaged"),
    ],
)
@pytest.mark.parametrize("name", ["images.tar", "images.zip", "images.tar.gz"])
def test_what_is_not_an_archive_is_called_what_it_is(content: bytes, what: str, name: str) -> None:
    with pytest.raises(ArchiveError, match=f"{name}: {what}"):
        everything(content, name)


@seeds(some=60, thousands=3000)
@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.xz", "zip"])
def test_an_archive_with_random_damage_gives_its_files_or_one_sentence(kind: str, seeds: range) -> None:
    files = {name: content for name, content in image_files().items() if name.startswith("train")}
    whole = {
        "tar": tar(files, "w"),
        "tar.gz": tar(files),
        "tar.xz": lzma.compress(tar(files, "w")),
        "zip": zipped(files),
    }[kind]
    for seed in seeds:
        try:
            found = everything(with_damage(whole, seed), f"{seed}.{kind}")
        except ArchiveError:
            continue
        # A plain tar has no checksum over contents, and names are checked by the layout.
        assert kind == "tar" or all(found[name] == files[name] for name in found if name in files)


@seeds(some=300, thousands=10_000)
def test_random_names_are_read_as_they_are_or_refused(seeds: range) -> None:
    signs = ["a", "é", "猫", "/", "..", ".", "\\", " ", "\n", "\x1b", "'", "C:", "\ud800"]
    for seed in seeds:
        generator = random.Random(seed)
        name = "".join(generator.choice(signs) for _ in range(generator.randint(1, 6)))
        try:
            content = tar({name: b"x"})
        except UnicodeEncodeError:
            continue
        try:
            (found,) = (member.name for member in members(put(Path(), {"a.tar.gz": content}) / "a.tar.gz"))
        except ArchiveError:
            continue
        assert not found.startswith("/")
        assert ".." not in found.split("/")
        assert not (set(contents(Path())) - {"a.tar.gz"})
