"""Networks by name: `build_network("resnet20-A")`. Imports torch alone, besides the names and safetensors."""

from resgrid.exchange.state_dicts import load_weights
from resgrid.models.build import build_network, count_parameters

__all__ = ["build_network", "count_parameters", "load_weights"]
