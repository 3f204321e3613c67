"""The section `evaluate`, and all that the pipeline stage `evaluate` reads."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from resgrid.config.augment import AugmentConfig
from resgrid.config.reading import Section


class EvaluateConfig(Section):
    """Evaluation, which runs on one device.

    Attributes:
        batch_size: images at once; no effect on what is measured beyond rounding.
        threads: CPU threads, a part of the experiment as in training.
        views: what of an image in a file the network sees: `single`, the central crop; `ten_crop`, four corners, the
            center and their mirror images; `multi_scale`, the whole image and its mirror image at each of `scales`, for
            networks that end in global average pooling. The class probabilities of several views are averaged.
        scales: shorter sides, in pixels, for `multi_scale`.
        response_images: training images, evenly spaced over the split, on which layer responses and the sizes of
            residuals are measured; None or more than there are: all.
        lesion_images: test images, evenly spaced over the split, on which the network is tested once for each block
            with that block dropped; None or more than there are: all.
    """

    batch_size: Annotated[int, Field(ge=1)]
    threads: Annotated[int, Field(ge=1, le=512)]
    views: Literal["single", "ten_crop", "multi_scale"] = "single"
    scales: list[Annotated[int, Field(ge=8, le=2048)]] = Field(default_factory=list)
    response_images: Annotated[int, Field(ge=1)] | None = None
    lesion_images: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _scales_go_with_views(self) -> Self:
        if (self.views == "multi_scale") != bool(self.scales):
            allowed = "at least one length" if self.views == "multi_scale" else "[]"
            raise ValueError(f"scales: {self.scales}: with views {self.views!r}, allowed is {allowed}")
        return self


class EvaluateParams(Section):
    """The sections that the stage `evaluate` reads, and no others."""

    augment: AugmentConfig
    evaluate: EvaluateConfig
