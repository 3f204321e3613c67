"""The section `augment`: normalization and augmentation of the images."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from resgrid.config.reading import Section


class CropConfig(Section):
    """How crops are taken from images in files: by the scale, as the paper does, or by the area. One of both is given.

    Attributes:
        shorter_side: lowest and highest length in pixels to which the shorter side is scaled, anew for each image,
            before a random crop (paper, section 3.4: [256, 480]).
        area: least and largest share of the image's area, as torchvision's `RandomResizedCrop` takes it.
        aspect: with `area`: smallest and largest width over height.
    """

    shorter_side: Annotated[list[Annotated[int, Field(ge=8, le=2048)]], Field(min_length=2, max_length=2)] | None = None
    area: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=2, max_length=2)] | None = None
    aspect: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=2, max_length=2)] = Field(
        default_factory=lambda: [3 / 4, 4 / 3]
    )

    @model_validator(mode="after")
    def _one_way_with_ordered_bounds(self) -> Self:
        if (self.shorter_side is None) == (self.area is None):
            both = "both are" if self.area else "neither is"
            raise ValueError(f"shorter_side, area: {both} given; allowed is one of them, the other null")
        for name in ("shorter_side", "area", "aspect"):
            bounds = getattr(self, name)
            if bounds is not None and bounds[0] > bounds[1]:
                raise ValueError(f"{name}: {bounds}: the lower bound comes first")
        return self


class AugmentConfig(Section):
    """What is done to the training images (paper, sections 3.4 and 4.2). Test images are normalized only.

    Attributes:
        normalize: subtract the mean image (`per_pixel_mean`, the paper's), or the mean of each channel and divide
            by its deviation (`channel`). Both come from the training part alone, on pixels scaled to [0, 1].
        pad: zeros put on each side before a random crop of the original size, in pixels.
        flip: mirror each image with probability 1/2. Not for digits, which have a handedness.
        crop: of images in files; None for arrays.
        lighting: deviation of the weights with which the principal components of the training images' colors are
            added to an image in files (Krizhevsky et al. 2012, section 4.1: 0.1); 0 for none.
    """

    normalize: Literal["per_pixel_mean", "channel"]
    pad: Annotated[int, Field(ge=0, le=64)]
    flip: bool
    crop: CropConfig | None = None
    lighting: Annotated[float, Field(ge=0, le=1)] = 0.0
