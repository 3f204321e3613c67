"""Batch normalization over the global batch for CPU processes; torch's SyncBatchNorm needs a GPU."""

from __future__ import annotations

import torch
import torch.distributed
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """`BatchNorm2d` with training statistics over the images of all ranks, which all have the same number of images.

    Weights, buffers and names are those of `BatchNorm2d`.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalize (b, C, H, W) to the same shape."""
        if not self.training or self.momentum is None or self.running_mean is None or self.running_var is None:
            return super().forward(input)
        x = input.float()
        ranks = torch.distributed.get_world_size()
        mean = all_reduce(x.mean(dim=(0, 2, 3))) / ranks
        centered = x - mean[:, None, None]
        # From deviations, not as E[x²] − E[x]², a difference of large numbers that loses digits.
        variance = all_reduce(centered.square().mean(dim=(0, 2, 3))) / ranks
        with torch.no_grad():
            count = ranks * x.numel() / x.shape[1]
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centered * scale[:, None, None] + self.bias[:, None, None]).to(input.dtype)


def make_batchnorm_global(network: nn.Module) -> None:
    """Turn every `BatchNorm2d` of a network into a `GlobalBatchNorm2d`, in place."""
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = GlobalBatchNorm2d
