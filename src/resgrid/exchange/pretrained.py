"""torchvision's pretrained weights: their files, and the images they were trained on."""

from __future__ import annotations

from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlparse

import torch
from torch import nn
from torchvision.models import WeightsEnum, get_weight


def find_pretrained(name: str) -> WeightsEnum:
    """Find pretrained weights by their name, such as `ResNet50_Weights.IMAGENET1K_V1`.

    Raises:
        ValueError: torchvision has no such weights.
    """
    try:
        return get_weight(name)
    except (ValueError, KeyError, TypeError):  # depending on which part of the name is unknown
        raise ValueError(
            f"weights: {name!r}: neither a file nor torchvision's weights; "
            "use the path of a file, or a name such as ResNet50_Weights.IMAGENET1K_V1"
        ) from None


def fetch_pretrained(pretrained: WeightsEnum) -> Path:
    """Return the weights' file in torch's cache, after a download if needed, which checks the hash in the file's name.

    Raises:
        OSError: the download fails; the message says how to get the file by hand.
    """
    name = Path(urlparse(pretrained.url).path).name
    file = Path(torch.hub.get_dir()) / "checkpoints" / name
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(pretrained.url, str(file), hash_prefix=file.stem.rpartition("-")[2])
        except (URLError, TimeoutError, ConnectionError, RuntimeError) as error:
            raise OSError(
                f"weights: {pretrained}: download from {pretrained.url} failed ({error}); download the file elsewhere "
                f"and copy it to {file}, or use --weights {name} --transforms {pretrained}"
            ) from None
    return file


def scale_pixels_as_pretrained(network: nn.Module) -> None:
    """Have GoogLeNet and Inception-v3 rescale pixels as their pretrained weights need.

    torchvision's builders set this when they load the weights (torchvision/models/googlenet.py).
    """
    if hasattr(network, "transform_input"):
        network.transform_input = True  # pyright: ignore[reportArgumentType]
