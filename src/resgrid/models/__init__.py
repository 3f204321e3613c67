"""Networks by name: `build_network("resnet20-A")`. Only torch is imported, and torchvision for its own networks."""

from resgrid.models.build import build_network, count_parameters

__all__ = ["build_network", "count_parameters"]
