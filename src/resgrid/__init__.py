"""resgrid: what do shortcut connections buy a deep network? (He et al., CVPR 2016)."""

__version__ = "0.1.0"
