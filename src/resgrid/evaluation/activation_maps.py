"""Class activation maps: how much each position of an image contributes to the predicted class.

Zhou et al. 2016, "Learning Deep Features for Discriminative Localization" (arXiv 1512.04150), in the form of
Selvaraju et al. 2017, "Grad-CAM" (arXiv 1610.02391). Grad-CAM gives the same maps for networks that end in global
average pooling and one linear layer, and is also defined for other networks.
"""

from __future__ import annotations

import io
import textwrap
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from resgrid.artifacts.class_names import drawable_names
from resgrid.data.reading.images import Images
from resgrid.evaluation.sampling import evenly_spaced

# Classes in the figure; of more classes, this many are shown, evenly spaced.
SHOWN_CLASSES = 10


def draw_sample_maps(network: nn.Module, test: Images, classes: list[str], title: str) -> bytes:
    """Draw the class activation maps of the first test image of each class, as PNG.

    Args:
        network: in evaluation mode.
        test: the test split.
        classes: class names by label.
        title: of the figure.
    """
    chosen = first_of_classes(test.labels.cpu(), evenly_spaced(len(classes), SHOWN_CLASSES))
    images, labels = test.plain(chosen)
    names = drawable_names(classes)
    predicted, maps = class_activation_maps(network, images)
    return draw_activation_maps(
        test.pixels(chosen),
        maps.cpu().numpy(),
        [names[label] for label in labels.tolist()],
        [names[label] for label in predicted.tolist()],
        title,
    )


def first_of_classes(labels: Tensor, wanted: Tensor) -> Tensor:
    """Find the first image of each wanted class that has images.

    Args:
        labels: (N,).
        wanted: labels (classes,).

    Returns:
        int64: indices of images.
    """
    found = [torch.nonzero(labels == label)[:1, 0] for label in wanted]
    return torch.cat(found)


def class_activation_maps(network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the predicted classes (N,) of images (N, C, H, W), and the class activation maps (N, h, w) for them.

    A map is the sum of the last feature map's channels. Each channel is weighted with the sum over positions of the
    logit's gradient. With global average pooling and one linear layer, the weights are those of the class, and the mean
    of the map is the logit without its bias. Negative values are evidence against the class: Grad-CAM's ReLU is
    omitted.

    The last feature map is the last one with more than one position that is the output of a module, or the input of a
    module without submodules, such as the pooling. In the networks of section 4.2, the map has 2×2 positions for 8×8
    images and 8×8 positions for 32×32 images.

    Args:
        network: in evaluation mode.

    Raises:
        ValueError: no feature map has more than one position.
    """
    features: list[Tensor] = []

    def note(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        is_layer = next(module.children(), None) is None
        for values in (output, *arguments) if is_layer else (output,):
            if isinstance(values, Tensor) and values.ndim == 4 and values.shape[2:].numel() > 1:
                features[:] = [values]
                return

    with ExitStack() as hooks, torch.enable_grad():
        for module in network.modules():
            hooks.enter_context(module.register_forward_hook(note))
        logits = network(images)
        if not features:
            raise ValueError(
                f"class activation maps: images of {tuple(images.shape[2:])}: no feature map has more than one "
                "position; use larger images"
            )
        predicted = logits.argmax(dim=1)
        (gradient,) = torch.autograd.grad(logits.gather(1, predicted[:, None]).sum(), features[0])
    weights = gradient.sum(dim=(2, 3), keepdim=True)
    return predicted, (weights * features[0].detach()).sum(dim=1)


def draw_activation_maps(
    pixels: np.ndarray, maps: np.ndarray, actual: list[str], predicted: list[str], title: str
) -> bytes:
    """Draw images next to their class activation maps, with the names of the actual and the predicted class, as PNG.

    Each map is scaled to its own minimum and maximum.

    Args:
        pixels: uint8 (N, C, H, W), with 1 or 3 channels.
        maps: float (N, h, w).
        actual: class names (N).
        predicted: class names (N).
        title: of the figure.
    """
    columns = min(len(pixels), 5)
    rows = -(-len(pixels) // columns)
    figure = Figure(figsize=(2.4 * columns, 0.4 + 1.35 * rows))
    figure.suptitle(f"{title}: what speaks for the predicted class is bright", fontsize=10)
    # One pair of axes for all images: a pair for each image would take far longer to draw.
    axes = figure.add_axes((0.01, 0.01, 0.98, 0.98 - 0.4 / (0.4 + 1.35 * rows)))
    axes.set(xlim=(0, 2.25 * columns), ylim=(1.27 * rows, 0))
    axes.set_axis_off()
    for index, (image, activations, right, answer) in enumerate(zip(pixels, maps, actual, predicted, strict=True)):
        left, top = 2.25 * (index % columns) + 0.1, 1.27 * (index // columns) + 0.25
        image_extent, map_extent = (left, left + 1, top + 1, top), (left + 1.03, left + 2.03, top + 1, top)
        picture = np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0)
        axes.imshow(picture, extent=image_extent, aspect="auto")
        axes.imshow(activations, cmap="inferno", interpolation="bilinear", extent=map_extent, aspect="auto")
        axes.imshow(picture.mean(axis=2), cmap="gray", vmin=0, vmax=255, alpha=0.3, extent=map_extent, aspect="auto")
        is_right = right == answer
        actual_name, predicted_name = (textwrap.shorten(name, 18, placeholder="…") for name in (right, answer))
        name = actual_name if is_right else f"{actual_name}, taken for {predicted_name}"
        style = {"ha": "center", "va": "bottom", "fontsize": 9, "color": "black" if is_right else "#b30000"}
        axes.text(left + 1.015, top - 0.03, name, parse_math=False, **style)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110, metadata={"Software": None})
    return content.getvalue()
