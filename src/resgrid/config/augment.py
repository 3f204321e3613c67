"""The section `augment`: normalization and augmentation of the images."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from resgrid.config.reading import Section


class CropConfig(Section):
    """Random crops of images in files: by scale, as in the paper, or by area. Exactly one of the two is set.

    Attributes:
        shorter_side: bounds in pixels of the length to which the shorter side is scaled before a random crop, drawn
            for each image (paper, section 3.4: [256, 480]).
        area: bounds of the crop's share of the image's area, as in torchvision's `RandomResizedCrop`.
        aspect: with `area`, bounds of width over height.
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
            raise ValueError(f"shorter_side, area: {both} set; set one of them, and null for the other")
        for name in ("shorter_side", "area", "aspect"):
            bounds = getattr(self, name)
            if bounds is not None and bounds[0] > bounds[1]:
                raise ValueError(f"{name}: {bounds}: is not a range; write the lower bound first")
        return self


class AugmentConfig(Section):
    """Normalization, and augmentation of the training images (paper, sections 3.4 and 4.2).

    Attributes:
        normalize: `per_pixel_mean` subtracts the mean image, as in the paper; `channel` subtracts each channel's mean
            and divides by its standard deviation. Both are of the training part, on pixels scaled to [0, 1].
        pad: zeros added on each side before a random crop of the original size, in pixels.
        flip: mirror each image with probability 1/2; not for digits, whose mirror images are other signs.
        crop: random crops of images in files; None for arrays.
        lighting: for images in files, standard deviation of the weights with which the principal components of the
            training images' colors are added (Krizhevsky et al. 2012, section 4.1: 0.1); 0 disables it.
    """

    normalize: Literal["per_pixel_mean", "channel"]
    pad: Annotated[int, Field(ge=0, le=64)]
    flip: bool
    crop: CropConfig | None = None
    lighting: Annotated[float, Field(ge=0, le=1)] = 0.0
