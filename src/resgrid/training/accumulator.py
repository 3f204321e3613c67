"""Running sums of loss and errors over images, exact on any number of devices."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Score:
    """Mean loss (nats per image) and error (percent) of a set of images, and the size of the set."""

    loss: float
    error: float
    images: int


class Accumulator:
    """Adds up losses and wrong predictions on the device, without waiting for the device.

    Sums are float64, so rounding does not depend noticeably on how many images were added before.

    Attributes:
        sums: float64 (3,): sum of losses, number of wrong predictions, number of images.
    """

    def __init__(self, device: torch.device) -> None:
        self.sums = torch.zeros(3, dtype=torch.float64, device=device)

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Add a batch: logits (b, classes) and labels (b,)."""
        losses = F.cross_entropy(logits.detach().float(), labels, reduction="sum")
        self.add_sums(losses, logits.detach(), labels)

    def add_sums(self, loss_sum: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add a batch whose sum of losses is known: loss_sum (), logits (b, classes) and labels (b,)."""
        wrong = (logits.argmax(dim=1) != labels).sum()
        images = torch.full_like(wrong, len(labels))
        self.sums += torch.stack([loss_sum.double(), wrong.double(), images.double()])

    def score(self) -> Score:
        """Return the means over the images of all ranks. All ranks must call it, and all get the same result.

        Raises:
            ValueError: no image was added.
        """
        sums = self.sums.clone()
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(sums)
        loss, wrong, images = sums.tolist()
        if images == 0:
            raise ValueError("score: 0 images were added; add a batch first")
        return Score(loss / images, 100 * wrong / images, int(images))
