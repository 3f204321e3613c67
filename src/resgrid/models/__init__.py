"""Networks by name: `build_network("resnet20-A")`. Imports torch alone, besides the names and safetensors."""

from resgrid.models.build import build_network, count_parameters
from resgrid.models.weights import load_weights

__all__ = ["build_network", "count_parameters", "load_weights"]
