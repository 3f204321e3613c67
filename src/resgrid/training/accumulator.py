"""Counting over images, exactly, on any number of devices: loss and errors as sums that stay on the device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Score:
    """Of a set of images: mean loss in nats per image, error in percent, and how many they were."""

    loss: float
    error: float
    images: int


class Accumulator:
    """Adds up losses and wrong answers without waiting for the device.

    Losses are added in float64, so that the result doesn't depend on how many there were before.
    """

    def __init__(self, device: torch.device) -> None:
        self.sums = torch.zeros(3, dtype=torch.float64, device=device)  # loss, wrong answers, images

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Logits (b, classes) and labels (b,)."""
        losses = F.cross_entropy(logits.detach().float(), labels, reduction="sum")
        self.add_sums(losses, logits.detach(), labels)

    def add_sums(self, loss_sum: Tensor, logits: Tensor, labels: Tensor) -> None:
        """As `add`, with the sum of the losses already at hand."""
        wrong = (logits.argmax(dim=1) != labels).sum()
        images = torch.full_like(wrong, len(labels))
        self.sums += torch.stack([loss_sum.double(), wrong.double(), images.double()])

    def score(self) -> Score:
        """The mean over all images of all ranks; every rank gets the same answer, so every rank must ask.

        Raises:
            ValueError: no image was counted.
        """
        sums = self.sums.clone()
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(sums)
        loss, wrong, images = sums.tolist()
        if images == 0:
            raise ValueError("no images were counted")
        return Score(loss / images, 100 * wrong / images, int(images))
