"""Archives and folders of images to arrays, and archives that nobody should open."""

from __future__ import annotations

import stat
import struct
import tarfile
import zipfile
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resgrid.config.data import DataConfig
from resgrid.data.fetching import archives
from resgrid.data.fetching.fetch import fetch
from resgrid.data.preparing.decode import decode
from resgrid.data.preparing.decoded import Decoded
from resgrid.data.reading import pixels as pixels_module
from resgrid.data.reading.pixels import read_image
from support.data_formats import (
    contents,
    encoded,
    image_files,
    published_images,
    put,
    tar,
    zipped,
)
from support.random_inputs import seeds, with_damage

RAW = Path("raw")
PIXEL = image_files()["train/cat/0.png"]


def images(archive: bytes, name: str = "images.tar.gz", size: int | None = None) -> Decoded:
    put(RAW, {name: archive})
    return decode(DataConfig(name="imagefolder", source=name, image_size=size), RAW)


@pytest.mark.parametrize("block", [1024, 3])
@pytest.mark.parametrize("form", ["tar.gz", "tar", "zip", "folder", "in a folder", "backwards"])
def test_image_archives_of_all_forms_give_the_same(form: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resgrid.data.preparing.formats.image_archive.BLOCK", block)
    files = image_files()
    if form == "folder":
        config = DataConfig(name="imagefolder", source=str(put(Path("folder"), files)))
        fetch(config, RAW)
        decoded = decode(config, RAW)
    elif form == "zip":
        decoded = images(zipped(files), "images.zip")
    elif form == "tar":
        decoded = images(tar(files, "w"), "images.tar")
    elif form == "in a folder":
        junk = {"top/README.md": b"", "top/train/.DS_Store": b"", "__MACOSX/train/cat/._0.png": b""}
        decoded = images(tar({f"./top/{name}": data for name, data in files.items()} | junk))
    else:
        decoded = images(tar(dict(reversed(files.items())) if form == "backwards" else files))
    assert decoded.classes == ["cat", "dog"]
    assert decoded.shape == (3, 8, 8)
    assert decoded.notes == []
    np.testing.assert_array_equal(decoded.labels["train"], [0] * 6 + [1] * 6)
    for split, arrays in published_images(decoded).items():
        names = sorted(name for name in files if name.startswith(split))
        expected = [np.asarray(Image.open(BytesIO(files[name]))).transpose(2, 0, 1) for name in names]
        np.testing.assert_array_equal(arrays, expected)


def test_val_is_the_test_where_there_is_no_test() -> None:
    files = {name.replace("test/", "val/"): content for name, content in image_files().items()}
    decoded = images(tar(files))
    assert len(decoded.labels["test"]) == 4
    assert decoded.notes == ["tested on val"]


def test_test_comes_before_val() -> None:
    files = image_files()
    unused = encoded(np.zeros((9, 9, 3), np.uint8), "JPEG")
    decoded = images(tar({"val/cat/0.jpg": unused} | files))
    assert len(decoded.labels["test"]) == 4
    assert decoded.notes == ["val not used"]
    assert len(published_images(decoded)["train"]) == 12


def test_jpeg_is_noted_by_content() -> None:
    files = image_files()
    assert images(tar(image_files("JPEG"))).notes == ["decoded from JPEG (lossy)"]
    files["train/dog/3.png"] = encoded(np.zeros((8, 8, 3), np.uint8), "JPEG")
    assert images(tar(files)).notes == ["decoded from JPEG (lossy)"]


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGBA", "P", "1", "LA"])
def test_grey_and_other_modes_become_rgb(mode: str) -> None:
    content = BytesIO()
    Image.new("RGB", (8, 8), "white").convert(mode).save(content, "JPEG" if mode == "CMYK" else "PNG")
    decoded = images(tar(image_files() | {"train/cat/0.png": content.getvalue()}))
    assert (published_images(decoded)["train"][0] == 255).all()


def png(image: np.ndarray, depth: int, kind: int, transparent: int | None = None) -> bytes:
    """A PNG of any bit depth and color type, (H, W, channels), which Pillow can't write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = image.astype(">u2" if depth == 16 else "u1")
    lines = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", image.shape[1], image.shape[0], depth, kind, 0, 0, 0)
    color = b"" if transparent is None else chunk(b"tRNS", struct.pack(">H", transparent) * image.shape[2])
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + color
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("content", "pixel", "conversions"),
    [
        (png(np.full((8, 8, 1), 0xAB12), 16, 0), (0xAB, 0xAB, 0xAB), {"reduced from 16 to 8 bits": 1}),
        (png(np.full((8, 8, 3), 0xAB12), 16, 2), (0xAB, 0xAB, 0xAB), {"reduced from 16 to 8 bits": 1}),
        (
            png(np.tile([0xAB12, 0xFFFF], (8, 8, 1)), 16, 4),
            (0xAB, 0xAB, 0xAB),
            {"reduced from 16 to 8 bits": 1},
        ),
        (
            png(np.tile([0xAB12, 0, 0, 0], (8, 8, 1)), 16, 6),
            (255, 255, 255),
            {"reduced from 16 to 8 bits": 1, "with transparency, drawn on white": 1},
        ),
        (png(np.tile([255, 0, 0, 0], (8, 8, 1)), 8, 6), (255, 255, 255), {"with transparency, drawn on white": 1}),
        (png(np.tile([255, 0, 0, 51], (8, 8, 1)), 8, 6), (255, 204, 204), {"with transparency, drawn on white": 1}),
        (png(np.tile([255, 0, 0, 255], (8, 8, 1)), 8, 6), (255, 0, 0), {}),
        (png(np.tile([9, 128], (8, 8, 1)), 8, 4), (132, 132, 132), {"with transparency, drawn on white": 1}),
        (b"P6 8 8 65535\n" + b"\xab\x12" * 192, (0xAA, 0xAA, 0xAA), {"reduced from 16 to 8 bits": 1}),
        (b"P5 8 8 65535\n" + b"\xab\x12" * 64, (0xAB, 0xAB, 0xAB), {"reduced from 16 to 8 bits": 1}),
        (b"P6 8 8 255\n" + b"\xab" * 192, (0xAB, 0xAB, 0xAB), {}),
    ],
)
def test_depth_and_transparency_follow_one_rule_and_are_counted(
    content: bytes, pixel: tuple[int, int, int], conversions: dict[str, int]
) -> None:
    decoded = images(tar(image_files() | {"train/cat/0.png": content}))
    found = published_images(decoded)["train"][0]
    np.testing.assert_array_equal(found, np.broadcast_to(np.reshape(pixel, (3, 1, 1)), (3, 8, 8)))
    assert decoded.conversions == conversions


@pytest.mark.parametrize(("depth", "value", "channels"), [(8, 7, 1), (8, 7, 3), (16, 0xAB12, 1), (16, 0xAB12, 3)])
def test_a_transparent_color_is_drawn_on_white_or_refused(depth: int, value: int, channels: int) -> None:
    content = png(np.full((8, 8, channels), value), depth, kind=channels - 1, transparent=value)
    if (depth, channels) == (16, 3):
        with pytest.raises(ValueError, match="16-bit colors of which one is transparent"):
            read_image(content)
    else:
        image, conversions = read_image(content)
        assert (np.asarray(image) == 255).all()
        assert "with transparency, drawn on white" in conversions


def test_a_palette_with_a_transparent_color_is_drawn_on_white() -> None:
    palette = Image.fromarray(np.zeros((8, 8), np.uint8), "L").convert("P")
    content = BytesIO()
    palette.save(content, "PNG", transparency=0)
    decoded = images(tar(image_files() | {"train/cat/0.png": content.getvalue()}))
    assert (published_images(decoded)["train"][0] == 255).all()
    assert decoded.conversions == {"with transparency, drawn on white": 1}


@pytest.mark.parametrize(("width", "height"), [(60_000, 1), (1, 60_000), (20_000, 1), (60_000_000, 1), (801, 8)])
def test_a_very_narrow_image_is_refused_before_it_is_scaled(width: int, height: int) -> None:
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header
    content = start + struct.pack(">I", zlib.crc32(b"IHDR" + header)) + struct.pack(">I", 0) + b"IEND\xaeB\x60\x82"
    decoded = images(tar(image_files() | {"train/cat/1.png": content}), size=224)
    with pytest.raises(
        ValueError, match=r"'train/cat/1.png': can't be read as an image: \d+×\d+ pixels: a side is over"
    ):
        list(decoded.blocks())


def test_all_unreadable_images_are_listed() -> None:
    webp = BytesIO()
    Image.new("RGB", (8, 8)).save(webp, "WEBP")
    bad = {"train/cat/0.png": webp.getvalue(), "train/dog/5.png": b"", "test/dog/1.png": PIXEL[:60]}
    with pytest.raises(ValueError, match=r"images.tar.gz: 3 files can't be used") as error:
        list(images(tar(image_files() | bad)).blocks())
    assert all(name in str(error.value) for name in bad)


@seeds(some=300, thousands=10_000)
def test_random_image_files_are_read_or_refused(seeds: range) -> None:
    for seed in seeds:
        generator = np.random.default_rng(seed)
        kind, (channels, depths) = list({0: (1, (8, 16)), 2: (3, (8, 16)), 4: (2, (8, 16)), 6: (4, (8, 16))}.items())[
            generator.integers(4)
        ]
        depth = int(generator.choice(depths))
        image = generator.integers(0, 1 << depth, (*generator.integers(1, 9, 2), channels))
        content = bytearray(png(image, depth, kind))
        damage = generator.integers(0, 3)
        for at in generator.integers(8, len(content), damage):
            content[at] ^= 1 << int(generator.integers(8))
        try:
            read, conversions = read_image(bytes(content))
        except ValueError:
            assert damage
            continue
        assert read.mode == "RGB"
        if not damage:
            assert ("reduced from 16 to 8 bits" in conversions) == (depth == 16)
            upper = image >> (depth - 8)
            alpha = upper[..., -1] if channels in (2, 4) else np.full(image.shape[:2], 255)
            assert ("with transparency, drawn on white" in conversions) == bool((alpha < 255).any())
            opaque = np.asarray(read)[alpha == 255]
            colors = upper[..., :3] if channels > 2 else upper[..., :1].repeat(3, -1)
            np.testing.assert_array_equal(opaque, colors[alpha == 255])


MODES = {
    "PNG": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
    "JPEG": ["L", "RGB", "CMYK"],
    "BMP": ["1", "L", "P", "RGB"],
    "PPM": ["1", "L", "RGB", "I;16"],
}


@seeds(some=200, thousands=10_000)
@pytest.mark.parametrize("kind", MODES)
def test_damaged_images_of_all_modes_are_read_or_refused(kind: str, seeds: range) -> None:
    for seed in seeds:
        generator = np.random.default_rng(seed)
        mode = MODES[kind][seed % len(MODES[kind])]
        height, width = generator.integers(1, 20, 2)
        image = Image.frombytes("RGB", (width, height), generator.bytes(3 * width * height))
        content = BytesIO()
        (
            image.convert("L").convert("I").point(lambda x: x * 257).convert("I;16")
            if mode == "I;16"
            else image.convert(mode)
        ).save(content, kind)
        assert read_image(content.getvalue())[0].size == (width, height)
        try:
            read, _ = read_image(with_damage(content.getvalue(), seed))
        except ValueError:
            continue
        assert read.mode == "RGB"
        assert read.width * read.height <= 67_108_864


def test_exif_is_ignored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: to be turned by a quarter
    left_black = np.repeat(np.array([[0] * 4 + [255] * 4]), 8, axis=0).astype(np.uint8)
    files = image_files() | {"train/cat/0.png": encoded(left_black, "PNG", exif=exif)}
    np.testing.assert_array_equal(published_images(images(tar(files)))["train"][0], np.stack([left_black] * 3))


def test_images_are_resized_at_the_shorter_side_and_cropped_in_the_centre() -> None:
    stripes = np.zeros((16, 48, 3), np.uint8)
    stripes[:, 16:32] = 200  # the center square
    files = image_files() | {"train/cat/0.png": encoded(stripes)}
    decoded = images(tar(files), size=8)
    assert decoded.notes == ["resized to 8×8 pixels"]
    center = published_images(decoded)["train"][0]
    assert decoded.shape == center.shape == (3, 8, 8)
    assert (center[:, :, 2:6] == 200).all()


def test_shrinking_is_antialiased() -> None:
    board = np.indices((64, 64)).sum(0) % 2 * 255
    files = image_files() | {"train/cat/0.png": encoded(np.stack([board] * 3, 2).astype(np.uint8))}
    assert abs(published_images(images(tar(files), size=8))["train"][0].astype(int) - 127).max() <= 2


def test_images_of_different_size_are_an_error_that_says_how_to_mend_it() -> None:
    files = image_files() | {"test/dog/1.png": encoded(np.zeros((9, 10, 3), np.uint8))}
    decoded = images(tar(files))
    with pytest.raises(ValueError, match=r"test/dog/1.png': has 10×9 pixels, but others have 8×8; set data.image_size"):
        list(decoded.blocks())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"train/cat/1.png": PIXEL[:60]},
            r"images.tar.gz: 1 file can't be used(?s:.*)'train/cat/1.png': can't be read as an image",
        ),
        ({"train/cat/1.png": b"text"}, r"'train/cat/1.png': can't be read as an image: no image of the kinds"),
        ({"train/cat/notes.txt": b""}, r"'train/cat/notes.txt': is not an image; use .jpg"),
        ({"train/0.png": PIXEL}, r"'train/0.png': is not in the layout; use train/<class>/<image>"),
        ({"train/cat/images/0.png": PIXEL}, r"'train/cat/images/0.png': is not in the layout"),
        ({"train/owl/0.png": PIXEL}, r"test: has no images of the class owl"),
        ({"test/owl/0.png": PIXEL, "test/yak/0.png": PIXEL}, r"train: has no images of the class owl, yak"),
        ({"top/train/cat/0.png": PIXEL}, r"has splits in several places .no folder, top/."),
        ({"../train/cat/9.png": PIXEL}, r"'../train/cat/9.png': leads out of the archive"),
        ({"/train/cat/9.png": PIXEL}, r"'/train/cat/9.png': leads out of the archive"),
        ({"..\\train\\cat\\9.png": PIXEL}, r"train.*: contains a backslash"),
    ],
)
def test_a_wrong_image_archive_is_named(change: dict[str, bytes], message: str) -> None:
    for files in (image_files() | change, change | image_files() | change):  # last and first in the archive
        with pytest.raises(ValueError, match=message):
            list(images(tar(files)).blocks())


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("train/", "contains no images in train"),
        ("test/", "contains no images in test or val"),
        ("t", "contains no images in train"),
    ],
)
def test_a_missing_split_is_named(missing: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        images(tar({name: content for name, content in image_files().items() if not name.startswith(missing)}))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tar_are_refused(kind: bytes) -> None:
    content = BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        member = tarfile.TarInfo("train/cat/0.png")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(ValueError, match=r"'train/cat/0.png': is a link, device or sparse file"):
        images(content.getvalue(), "images.tar")


def test_links_and_passwords_in_a_zip_are_refused() -> None:
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        link = zipfile.ZipInfo("train/cat/0.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(ValueError, match=r"'train/cat/0.png': is a link"):
        images(content.getvalue(), "images.zip")
    locked = bytearray(zipped(image_files()))
    locked[6] |= 1  # the flag "encrypted" of the first file, here and in the central directory
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(ValueError, match=r"images.zip: 'train/cat/0.png': is truncated or damaged \(.*password"):
        images(bytes(locked), "images.zip")


@pytest.mark.parametrize("name", ["images.tar.gz", "images.tar", "images.zip"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.75])
def test_a_truncated_archive_is_an_error_wherever_it_ends(name: str, share: float) -> None:
    files = image_files()
    whole = {"images.tar.gz": tar(files), "images.tar": tar(files, "w"), "images.zip": zipped(files)}[name]
    with pytest.raises(ValueError, match=f"{name}: .*is truncated or damaged"):
        images(whole[: int(len(whole) * share)], name)


def test_a_tar_that_ends_between_two_files_or_has_a_damaged_header_is_an_error() -> None:
    whole = tar(image_files(), "w")
    with tarfile.open(fileobj=BytesIO(whole)) as archive:
        third = archive.getmembers()[2].offset
    with pytest.raises(ValueError, match="truncated or damaged"):
        images(whole[:third], "images.tar")
    with pytest.raises(ValueError, match="truncated or damaged"):
        images(whole[:third] + b"\xff" * 512 + whole[third + 512 :], "images.tar")


def test_bombs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    files = image_files()
    bomb = tar(files | {"train/cat/7.png": bytes(10_000_000)})
    monkeypatch.setattr(archives, "_MEMBER_LIMIT", 1_000_000)
    with pytest.raises(ValueError, match=r"'train/cat/7.png': unpacks to 10,\d{3},\d{3} bytes so far"):
        images(bomb)
    monkeypatch.setattr(archives, "_MEMBER_LIMIT", 1 << 28)
    monkeypatch.setattr(archives, "_UNPACKED_LIMIT", 1_000_000)
    with pytest.raises(ValueError, match=r"unpacks to|after decompression"):
        images(bomb)
    monkeypatch.setattr(pixels_module, "_PIXEL_LIMIT", 63)
    with pytest.raises(ValueError, match="8×8 pixels are more than 63"):
        list(images(tar(files)).blocks())


def test_nothing_is_unpacked_to_disk() -> None:
    list(images(tar(image_files())).blocks())
    assert contents(Path()).keys() == {"raw/images.tar.gz"}
