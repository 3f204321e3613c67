"""Published data sets: label, file format, checksums and locations. A published data set is one entry of `DATASETS`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

IMAGEFOLDER = "imagefolder"  # the user's own images, in `<split>/<class>/<image>`

Format = Literal["idx", "cifar10", "cifar100", "digits"]


@dataclass(frozen=True)
class RawFile:
    """A file in `data/raw`.

    Attributes:
        name: file name in `data/raw`.
        published_name: file name where the file is published. A `.gz` that `name` lacks is removed by decompression.
        sha256: of the file in `data/raw`; None if only the published file's is known, or none.
        published_sha256: of the file as published; None for all published data sets, whose mirrors recompress files.
    """

    name: str
    published_name: str
    sha256: str | None
    published_sha256: str | None = None

    @property
    def is_compressed(self) -> bool:
        return self.published_name == self.name + ".gz"

    @property
    def checksum_names(self) -> tuple[str, ...]:
        """File names for which `data.sha256` may give a checksum."""
        return (self.name, self.published_name) if self.is_compressed else (self.published_name,)


@dataclass(frozen=True)
class Dataset:
    """A data set that resgrid knows by name.

    Attributes:
        label: usual name.
        format: key of the decoder in `resgrid.data.preparing.decode`.
        files: content of `data/raw`.
        urls: web folders that hold the files, in the order in which they are tried.
        package_folder: folder of an installed Python package that holds the files, tried first.
        system_folder: folder of an installed system package that holds the files, tried before the URLs.
        classes: class names, if the files don't contain them.
        has_test_split: False if the test images have to be taken from the training images.
        note: what a reader must know before comparing numbers, or empty.
    """

    label: str
    format: Format
    files: tuple[RawFile, ...]
    urls: tuple[str, ...] = ()
    package_folder: str | None = None
    system_folder: str | None = None
    classes: tuple[str, ...] = ()
    has_test_split: bool = True
    note: str = ""


def _idx_files(train_images: str, train_labels: str, test_images: str, test_labels: str) -> tuple[RawFile, ...]:
    # Checksums of the decompressed files: Debian and some mirrors compress the same content again.
    checksums = {
        "train-images-idx3-ubyte": train_images,
        "train-labels-idx1-ubyte": train_labels,
        "t10k-images-idx3-ubyte": test_images,
        "t10k-labels-idx1-ubyte": test_labels,
    }
    return tuple(RawFile(name, f"{name}.gz", sha256) for name, sha256 in checksums.items())


_TEN_DIGITS = tuple("0123456789")

DATASETS = {
    # The test part of the UCI "Optical Recognition of Handwritten Digits", as scikit-learn ships it.
    "digits": Dataset(
        label="Digits (8×8)",
        format="digits",
        files=(
            RawFile("digits.csv", "digits.csv.gz", "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8"),
        ),
        package_folder="sklearn/datasets/data",
        classes=_TEN_DIGITS,
        has_test_split=False,
        note="own split of scikit-learn's 1,797 images",
    ),
    # URLs: torchvision (datasets/mnist.py) and TensorFlow Datasets. Published checksums are of the compressed files
    # only (TensorFlow Datasets: 440fcabf… for the training images); the checksums below are those on which several
    # unrelated public repositories agree, one of which lists both.
    "mnist": Dataset(
        label="MNIST",
        format="idx",
        files=_idx_files(
            train_images="ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            train_labels="65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            test_images="0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            test_labels="ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
        urls=(
            "https://ossci-datasets.s3.amazonaws.com/mnist",
            "https://storage.googleapis.com/cvdf-datasets/mnist",
        ),
        classes=_TEN_DIGITS,
    ),
    # URLs: torchvision, Keras (datasets/fashion_mnist.py) and the authors' repository. Checksums: of the files of
    # Debian's package dataset-fashion-mnist; public code lists the same for files with the authors' MD5.
    "fashion_mnist": Dataset(
        label="Fashion-MNIST",
        format="idx",
        files=_idx_files(
            train_images="c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            train_labels="bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            test_images="5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            test_labels="0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
        urls=(
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        ),
        system_folder="/usr/share/datasets/fashion-mnist",  # Debian's package dataset-fashion-mnist
        classes=(
            "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
        ),
    ),
    # URL: the author's. Checksums: Keras (datasets/cifar10.py and cifar100.py).
    "cifar10": Dataset(
        label="CIFAR-10",
        format="cifar10",
        files=(
            RawFile(
                "cifar-10-python.tar.gz",
                "cifar-10-python.tar.gz",
                "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
            ),
        ),
        urls=("https://www.cs.toronto.edu/~kriz",),
    ),
    "cifar100": Dataset(
        label="CIFAR-100",
        format="cifar100",
        files=(
            RawFile(
                "cifar-100-python.tar.gz",
                "cifar-100-python.tar.gz",
                "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
            ),
        ),
        urls=("https://www.cs.toronto.edu/~kriz",),
    ),
}  # fmt: skip
