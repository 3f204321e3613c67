"""Weights from other projects, and exports for other programs.

`weights` loads weights files into networks, `pretrained` finds torchvision's weights, `evaluate_weights` tests weights
on images, and `export` writes trained cells in the formats of `export_formats`.
"""
