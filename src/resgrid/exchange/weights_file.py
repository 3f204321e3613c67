"""Reads the tensors of weights files, in any usual format, without running code that a file contains."""

from __future__ import annotations

import errno
import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import safetensors
import torch
from torch import Tensor

from resgrid.data.reading.normalization import Normalization

# Keys under which training scripts put the state dict next to epoch, optimizer and so on.
WRAPPERS = ("state_dict", "model", "model_state_dict", "net")

# First bytes of other files with familiar names, and what to do.
_OTHER_FILES = (
    (b"version https://git-lfs", "a Git LFS pointer; run `git lfs pull`"),
    (b"<", "an HTML or XML page, as failed downloads leave; download the file again"),
    (b"\x1f\x8b", "compressed with gzip; decompress it"),
    (b"BZh", "compressed with bzip2; decompress it"),
    (b"\xfd7zXZ", "compressed with xz; decompress it"),
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard; decompress it"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it"),
    (b"\x89HDF", "an HDF5 file, as Keras writes; convert it to safetensors"),
    (b"\x93NUMPY", "a NumPy array; convert it to safetensors"),
    (b"GGUF", "a GGUF file; convert it to safetensors"),
)
_FORMATS = "use a state dict that torch.save or safetensors wrote"

# What checkpoints often contain next to tensors, besides what torch allows: NumPy's numbers and arrays, and options.
_IGNORED = (
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
    "numpy.dtype",
    "numpy.ndarray",
    "argparse.Namespace",
    "pathlib.PosixPath",
    "pathlib._local.PosixPath",
)


class IgnoredObject:
    """Replaces an object of a checkpoint that is not needed, so that no other code gets the file's content."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


@dataclass(frozen=True)
class WeightsFile:
    """The content of a weights file.

    Attributes:
        path: the file.
        tensors: by name, on the CPU.
        header: texts that a safetensors file contains about itself; empty for other formats.
    """

    path: Path
    tensors: dict[str, Tensor]
    header: dict[str, str]

    @property
    def normalization(self) -> Normalization | None:
        """The normalization that the header states, if it does.

        Raises:
            ValueError: the header is damaged.
        """
        # Earlier versions of resgrid wrote the British spelling.
        text = self.header.get("normalization", self.header.get("normalisation"))
        return None if text is None else Normalization.from_header(text, self.path)

    @property
    def classes(self) -> list[str] | None:
        """The class names that the header states, if it does.

        Raises:
            ValueError: the header is damaged.
        """
        text = self.header.get("classes")
        if text is None:
            return None
        try:
            names = json.loads(text)
        except (ValueError, RecursionError):
            names = None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"{self.path}: the classes in the header are not a list of names; export the cell again")
        return names


def read_weights_file(path: Path) -> WeightsFile:
    """Read a weights file, whatever its name. The format is recognized by the content.

    Raises:
        OSError: the file can't be read.
        ValueError: it is not a complete file of dense tensors; the message states what it is.
    """
    if path.exists() and not path.is_file():
        raise ValueError(f"{path}: not a regular file; use the path of a weights file")
    with path.open("rb") as file:
        start = file.read(64)
    tensors, header = {}, {}
    if start[8:9] == b"{":
        tensors, header = _read_safetensors(path)
    elif start.startswith((b"PK", b"\x80")):
        if start.startswith(b"PK"):
            _check_archive(path)
        tensors = _state_dict_in(path, _load_checkpoint(path))
    else:
        raise ValueError(f"{path}: {_describe_other(start)}")
    if not tensors:
        raise ValueError(f"{path}: contains no tensors; {_FORMATS}")
    for name, tensor in tensors.items():
        if problem := _storage_problem(tensor):
            raise ValueError(f"{path}: {shortened(name)} is {problem}; save it as a dense tensor")
    return WeightsFile(path, tensors, header)


def shortened(name: str) -> str:
    """Limit a name of a tensor to a length that is fit for messages."""
    return name if len(name) <= 100 else f"{name[:99]}…"


def _describe_other(start: bytes) -> str:
    if not start:
        return "the file is empty; copy or download it again"
    known = next((text for magic, text in _OTHER_FILES if start.lstrip().startswith(magic)), None)
    return known or f"not a weights file; {_FORMATS}"


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path}: not a complete safetensors file ({error}); copy or download it again") from None


def _load_checkpoint(path: Path) -> object:
    """Load a file of torch.save with torch's restricted unpickler."""
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about unusual files, which the errors below describe
        try:
            with torch.serialization.safe_globals([(IgnoredObject, name) for name in _IGNORED]):
                return torch.load(file, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            named = re.search(r"GLOBAL (\S+)", str(error))
            content = f"contains {shortened(named[1])}, which could run code" if named else "damaged, or contains code"
            raise ValueError(
                f"{path}: refused: {content}; if you trust the file, save its tensors alone where it was made: "
                "safetensors.torch.save_file(network.state_dict(), 'weights.safetensors')"
            ) from None
        except Exception as error:  # arbitrary bytes can raise anything
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise ValueError(
                f"{path}: not a complete file of torch.save ({reason[:200]}); copy or download it again"
            ) from None


def _check_archive(path: Path) -> None:
    """Refuse zip archives that are damaged, are not of torch.save, or unpack to more bytes than they have.

    torch.save doesn't compress. torch.load does decompress, so that a small file could fill the memory. It also loads
    tensors whose checksum in the archive is wrong.
    """
    with _damage_named(path), zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    names = [entry.filename for entry in entries]
    if any(name.endswith("/constants.pkl") for name in names):
        raise ValueError(
            f"{path}: a TorchScript archive; save its weights alone: "
            "torch.save(torch.jit.load(path).state_dict(), 'weights.pt')"
        )
    if not any(name.endswith("data.pkl") for name in names):
        raise ValueError(f"{path}: an archive without weights of torch.save; {_FORMATS}")
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise ValueError(f"{path}: unpacks to more bytes than it has; save the weights again with torch.save")
    with _damage_named(path), zipfile.ZipFile(path) as archive:
        for entry in entries:
            if entry.CRC:  # 0 in files that were saved without checksums, see `torch.serialization.set_crc32_options`
                archive.read(entry)


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # arbitrary bytes can raise anything
        # An invalid offset is not an error of the disk.
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        raise ValueError(f"{path}: not a complete file of torch.save ({error}); copy or download it again") from None


def _state_dict_in(path: Path, content: object) -> dict[str, Tensor]:
    """Find the state dict in a checkpoint."""
    for _ in WRAPPERS:  # a limit, because dictionaries can contain themselves
        content = _unwrapped(path, content)
    if not isinstance(content, Mapping):
        raise ValueError(f"{path}: contains {type(content).__name__}, not a state dict; {_FORMATS}")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ValueError(
                f"{path}: contains {type(value).__name__} under {shortened(repr(name))}; "
                f"use a state dict of names and tensors, also under {', '.join(WRAPPERS)}"
            )
    return {name: value.detach() for name, value in content.items()}


def _unwrapped(path: Path, content: object) -> object:
    if not isinstance(content, Mapping):
        return content
    inner = {key: value for key in WRAPPERS if isinstance(value := content.get(key), Mapping)}
    filled = [key for key, value in inner.items() if any(isinstance(item, Tensor) for item in value.values())]
    if len(filled) > 1:
        raise ValueError(f"{path}: contains several state dicts ({', '.join(filled)}); save one of them alone")
    return next((inner[key] for key in filled or inner), content)


def _storage_problem(tensor: Tensor) -> str | None:
    """Name what keeps a tensor from being copied as numbers, if anything does."""
    if tensor.is_meta:
        return "a meta tensor, which has no values"
    if tensor.is_nested:
        return "nested"
    if tensor.layout != torch.strided:
        return "sparse"
    return "quantized" if tensor.is_quantized else None
