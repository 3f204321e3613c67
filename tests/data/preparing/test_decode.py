"""Raw files to arrays: every published format, and pickles that nobody should open."""

from __future__ import annotations

import os
import pickle
import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from resgrid.config.data import DataConfig
from resgrid.data.fetching.fetch import fetch
from resgrid.data.preparing.decode import decode
from resgrid.data.preparing.formats.cifar import load_pickle
from support.data_formats import (
    SAMPLES,
    Sample,
    cifar10_sample,
    cifar100_sample,
    idx,
    image_files,
    mnist_sample,
    published_images,
    put,
    python2_pickle,
    sha256,
    tar,
)

RAW = Path("raw")
PIXEL = image_files()["train/cat/0.png"]


def fetched(sample: Sample) -> DataConfig:
    config = sample.config(put(Path("mirror"), sample.files))
    fetch(config, RAW)
    return config


@pytest.mark.parametrize("block", [1024, 7])
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.name)
def test_published_formats(sample: Sample, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resgrid.data.preparing.decoded.BLOCK", block)
    decoded = decode(fetched(sample), RAW)
    assert decoded.shape == sample.images["train"].shape[1:]
    for split, images in published_images(decoded).items():
        np.testing.assert_array_equal(images, sample.images[split])
        np.testing.assert_array_equal(decoded.labels[split], sample.labels[split])
        assert decoded.labels[split].dtype == np.int64


def test_class_names_come_from_the_files() -> None:
    assert decode(fetched(cifar10_sample()), RAW).classes[:3] == ["airplane", "automobile", "bird"]
    assert decode(fetched(cifar100_sample()), RAW).classes[98:] == ["fine98", "fine99"]


def test_digits_are_scikit_learns_scaled_to_bytes() -> None:
    config = DataConfig(name="digits")
    fetch(config, RAW)
    decoded = decode(config, RAW)
    flat, labels = load_digits(return_X_y=True)
    expected = np.round(np.asarray(flat).reshape(-1, 1, 8, 8) * 255 / 16)
    np.testing.assert_array_equal(published_images(decoded)["train"], expected)
    np.testing.assert_array_equal(decoded.labels["train"], np.asarray(labels))
    assert "test" not in decoded.labels


def test_a_missing_or_changed_raw_file_is_named() -> None:
    config = fetched(mnist_sample())
    put(RAW, {"t10k-labels-idx1-ubyte": b"changed"})
    with pytest.raises(
        ValueError, match=r"raw/t10k-labels-idx1-ubyte: was changed after the download.* run `dvc repro download`"
    ):
        decode(config, RAW)
    (RAW / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(ValueError, match=r"raw/t10k-labels-idx1-ubyte: is missing; run `dvc repro download`"):
        decode(config, RAW)


def with_content(name: str, content: bytes) -> DataConfig:
    """MNIST with one file replaced by a wrong one that has the right checksum."""
    sample = mnist_sample()
    sample.files[f"{name}.gz"] = content
    sample.sha256[name] = sha256(content)
    return fetched(sample)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "train-images-idx3-ubyte",
            idx(np.zeros(3)),
            r"train-images-idx3-ubyte: has the magic number 0x00000801, not that of bytes in 3 dimensions",
        ),
        ("train-images-idx3-ubyte", b"", r"train-images-idx3-ubyte: has the magic number 0x00000000"),
        ("t10k-labels-idx1-ubyte", idx(np.zeros(20))[:-1], r"19 values, but its header announces \(20,\)"),
        ("t10k-labels-idx1-ubyte", idx(np.zeros(19)), "test: contains 20 images, but 19 labels"),
        (
            "t10k-labels-idx1-ubyte",
            idx(np.full(20, 10)),
            "test: contains labels from 10 to 10, but there are 10 classes",
        ),
        ("t10k-images-idx3-ubyte", idx(np.zeros((20, 8, 8))), "train and test: have images of different shapes"),
        ("t10k-images-idx3-ubyte", idx(np.zeros((0, 28, 28))), "test: "),
    ],
)
def test_a_wrong_idx_file_is_named(name: str, content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode(with_content(name, content), RAW)


# CIFAR's pickles


class _Attack:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch attacked",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_calls_something_is_refused(protocol: int) -> None:
    with pytest.raises(ValueError, match=r"batch: is damaged or contains more than arrays .* asks for .*\.system"):
        load_pickle("batch", pickle.dumps({1: _Attack()}, protocol))
    assert not Path("attacked").exists()


@pytest.mark.parametrize("content", [b"", b"garbage", python2_pickle({b"a": [1]})[:-3], python2_pickle([1])])
def test_a_damaged_pickle_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"batch: (is damaged|contains list)"):
        load_pickle("batch", content)


def test_no_pickle_is_opened_before_its_checksum_holds() -> None:
    config = fetched(cifar10_sample())
    attack = tar({"cifar-10-batches-py/data_batch_1": pickle.dumps(_Attack(), 2)})
    put(RAW, {"cifar-10-python.tar.gz": attack})
    with pytest.raises(ValueError, match=r"raw/cifar-10-python.tar.gz: was changed after the download"):
        decode(config, RAW)
    assert not Path("attacked").exists()


def batch(images: int, labels: list[int]) -> bytes:
    return python2_pickle({b"data": np.zeros((images, 3072), np.uint8), b"fine_labels": labels})


META = python2_pickle({b"fine_label_names": [b"a", b"b"]})
GOOD = batch(2, [0, 1])


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"train": GOOD, "meta": META}, "cifar-100-python.tar.gz: lacks cifar-100-python/test"),
        ({"train": GOOD, "test": GOOD, "meta": python2_pickle({})}, "meta contains no list fine_label_names"),
        (
            {"train": GOOD, "test": python2_pickle({}), "meta": META},
            "test: contains no uint8 array 'data' of 3072 values",
        ),
        (
            {"train": GOOD, "test": python2_pickle({b"data": np.zeros((2, 3072), np.uint8)}), "meta": META},
            "test: contains no list 'fine_labels'",
        ),
    ],
)
def test_a_wrong_cifar_archive_is_named(files: dict[str, bytes], message: str) -> None:
    content = tar({f"cifar-100-python/{name}": data for name, data in files.items()})
    archive = "cifar-100-python.tar.gz"
    with pytest.raises(ValueError, match=message):
        decode(fetched(Sample("cifar100", {archive: content}, {archive: sha256(content)}, {}, {})), RAW)


def test_batches_whose_errors_cancel_are_refused() -> None:
    sample = cifar10_sample()
    with tarfile.open(fileobj=BytesIO(sample.files["cifar-10-python.tar.gz"])) as archive:
        files = {name: archive.extractfile(name).read() for name in archive.getnames()}  # pyright: ignore[reportOptionalMemberAccess]
    for number, labels in ((1, [*range(10), 0]), (2, [*range(9)])):
        data = {b"data": np.zeros((10, 3072), np.uint8), b"labels": labels}
        files[f"cifar-10-batches-py/data_batch_{number}"] = python2_pickle(data)
    content = tar(files)
    wrong = Sample("cifar10", {"cifar-10-python.tar.gz": content}, {"cifar-10-python.tar.gz": sha256(content)}, {}, {})
    with pytest.raises(ValueError, match=r"data_batch_1: contains 10 images, but 11 labels"):
        decode(fetched(wrong), RAW)
