"""The published data sets: what people call them, their files, where these are and what they must contain."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from resgrid.config.data import DataConfig

ARCHIVE_EXTENSIONS = (".tar.gz", ".tgz", ".tar", ".zip")
ARCHIVES_END = f"an archive's name ends in {', '.join(ARCHIVE_EXTENSIONS)}"
INDEX_NAME = "index.csv"
NOT_PUBLISHED = "not the published files: checksums given in params.yaml"


@dataclass(frozen=True)
class RawFile:
    """A file under `data/raw`.

    Attributes:
        name: under `data/raw`.
        packed: its name where it is published; one that ends in `.gz` more than `name` is unpacked on the way.
        sha256: of the content under `data/raw`; None where only the packed file's is known, or none at all.
        packed_sha256: of the file as published; needed for no published data set.
    """

    name: str
    packed: str
    sha256: str | None
    packed_sha256: str | None = None

    @property
    def is_packed(self) -> bool:
        return self.packed == self.name + ".gz"

    @property
    def checksum_names(self) -> tuple[str, ...]:
        """The names under which `data.sha256` may give a checksum."""
        return (self.name, self.packed) if self.is_packed else (self.packed,)


@dataclass(frozen=True)
class Published:
    """A data set that resgrid knows by name.

    Attributes:
        label: what people call it.
        note: what a reader must know before comparing numbers, or empty.
        files: in `data/raw`.
        addresses: folders on the web that hold the files, tried in this order.
        folders: folders on this machine where an installed package puts the files; tried before the addresses.
        classes: class names, where the files don't hold them.
    """

    label: str
    note: str
    files: tuple[RawFile, ...]
    addresses: tuple[str, ...]
    folders: tuple[Path, ...] = ()
    classes: tuple[str, ...] = ()


def _idx_files(train_images: str, train_labels: str, test_images: str, test_labels: str) -> tuple[RawFile, ...]:
    # Checksums are of the unpacked content: Debian and some mirrors repack the very same content.
    checksums = {
        "train-images-idx3-ubyte": train_images,
        "train-labels-idx1-ubyte": train_labels,
        "t10k-images-idx3-ubyte": test_images,
        "t10k-labels-idx1-ubyte": test_labels,
    }
    return tuple(RawFile(name, f"{name}.gz", sha256) for name, sha256 in checksums.items())


def _archive(name: str, sha256: str) -> tuple[RawFile, ...]:
    return (RawFile(name, name, sha256),)


def _sklearn_data() -> Path:
    # Found without importing scikit-learn, which takes seconds.
    spec = find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise ValueError("the data set 'digits' comes with scikit-learn, which isn't installed; run `make setup`")
    return Path(spec.origin).parent / "datasets" / "data"


_TEN_DIGITS = tuple("0123456789")

PUBLISHED = {
    # The test part of the UCI "Optical Recognition of Handwritten Digits", as scikit-learn ships it.
    "digits": Published(
        label="Digits (8×8)",
        note="own split of scikit-learn's 1,797 images",
        files=(
            RawFile("digits.csv", "digits.csv.gz", "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8"),
        ),
        addresses=(),
        folders=(_sklearn_data(),),
        classes=_TEN_DIGITS,
    ),
    # Addresses: torchvision (datasets/mnist.py) and TensorFlow Datasets. Checksums: published for the packed files
    # only (TensorFlow Datasets: 440fcabf… for the training images); those of the unpacked content are the ones
    # that several unrelated public repositories agree on, one of which lists both.
    "mnist": Published(
        label="MNIST",
        note="",
        files=_idx_files(
            train_images="ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            train_labels="65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            test_images="0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            test_labels="ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
        addresses=(
            "https://ossci-datasets.s3.amazonaws.com/mnist",
            "https://storage.googleapis.com/cvdf-datasets/mnist",
        ),
        classes=_TEN_DIGITS,
    ),
    # Addresses: torchvision, Keras (datasets/fashion_mnist.py) and the authors' repository. Checksums: of the content
    # of Debian's package dataset-fashion-mnist, which agree with those in public code of files with the authors' MD5.
    "fashion_mnist": Published(
        label="Fashion-MNIST",
        note="",
        files=_idx_files(
            train_images="c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            train_labels="bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            test_images="5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            test_labels="0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
        addresses=(
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        ),
        folders=(Path("/usr/share/datasets/fashion-mnist"),),  # Debian's package dataset-fashion-mnist
        classes=(
            "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
        ),
    ),
    # Address: the author's. Checksums: Keras (datasets/cifar10.py and cifar100.py).
    "cifar10": Published(
        label="CIFAR-10",
        note="",
        files=_archive("cifar-10-python.tar.gz", "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"),
        addresses=("https://www.cs.toronto.edu/~kriz",),
    ),
    "cifar100": Published(
        label="CIFAR-100",
        note="",
        files=_archive("cifar-100-python.tar.gz", "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"),
        addresses=("https://www.cs.toronto.edu/~kriz",),
    ),
}  # fmt: skip


def raw_files(config: DataConfig) -> tuple[RawFile, ...]:
    """The files of `data/raw` for a data set, with the checksums of `data.sha256` in place of the published ones.

    With storage `files` it is the index of the image files, which comes last, after the archive that they are unpacked
    from, if they are.

    Raises:
        ValueError: `data.sha256` names a file that the data set doesn't have, or `data.source` of an `imagefolder`
            is an address that doesn't end in an archive's name.
    """
    files = _image_files(config) if config.name == "imagefolder" else PUBLISHED[config.name].files
    allowed = [name for file in files for name in file.checksum_names]
    for name in config.sha256:
        if name not in allowed:
            raise ValueError(f"data.sha256: {name!r}: no such file in {config.name}; allowed are {', '.join(allowed)}")
    return tuple(_with_given_checksums(file, config.sha256) for file in files)


def label_of(config: DataConfig) -> str:
    """What the report calls the data: `data.label`, or else the usual name, or the stem of an image archive."""
    if config.label is not None:
        return config.label
    if config.name != "imagefolder":
        return PUBLISHED[config.name].label
    name = source_name(str(config.source))
    return name.removesuffix(archive_extension(name))


def is_address(source: str) -> bool:
    """Whether a source is on the web, not on this machine.

    Raises:
        ValueError: an address of another kind than http or https.
    """
    scheme = urlsplit(source).scheme
    if "://" in source and scheme not in ("http", "https"):
        raise ValueError(f"data.source: {source!r}: allowed are http:// and https:// addresses, folders and files")
    return "://" in source


def source_name(source: str) -> str:
    """The last part of an address or a path."""
    return PurePosixPath(unquote(urlsplit(source).path)).name if is_address(source) else Path(source).name


def archive_extension(name: str) -> str:
    """The part of a name that says which kind of archive it is, or nothing."""
    return next((extension for extension in ARCHIVE_EXTENSIONS if name.endswith(extension)), "")


def _image_files(config: DataConfig) -> tuple[RawFile, ...]:
    source = str(config.source)
    archive = _image_archive(source)
    if config.storage == "arrays":
        return (archive,)
    index = RawFile(INDEX_NAME, INDEX_NAME, None)
    return (archive, index) if archive_extension(source_name(source)) else (index,)


def _image_archive(source: str) -> RawFile:
    name = source_name(source)
    extension = archive_extension(name)
    if extension:
        return RawFile(f"images{extension}", name, None)
    if is_address(source):
        raise ValueError(f"data.source: {source!r} is no archive; {ARCHIVES_END}")
    return RawFile("images.tar", "images.tar", None)  # a folder, which `fetch` packs


def _with_given_checksums(file: RawFile, given: dict[str, str]) -> RawFile:
    if not given.keys() & set(file.checksum_names):
        return file
    if not file.is_packed:
        return replace(file, sha256=given[file.packed])
    return replace(file, sha256=given.get(file.name), packed_sha256=given.get(file.packed))
