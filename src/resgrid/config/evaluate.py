"""The section `evaluate`, and the sections that the pipeline stage `evaluate` reads."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from resgrid.config.augment import AugmentConfig
from resgrid.config.reading import Section

Views = Literal["single", "ten_crop", "multi_scale"]


class EvaluateConfig(Section):
    """Evaluation, which runs on one device.

    Attributes:
        batch_size: images per batch; affects the results by rounding only.
        threads: CPU threads, part of the experiment as in training.
        views: views of each image in a file: `single`, the central crop; `ten_crop`, four corners, the center and
            their mirror images; `multi_scale`, the whole image and its mirror image at each of `scales`, for networks
            that end in global average pooling. The class probabilities of several views are averaged.
        scales: shorter sides in pixels for `multi_scale`.
        response_images: number of training images, evenly spaced over the split, on which layer responses and
            residual sizes are measured; None (or more than there are) for all.
        lesion_images: number of test images, evenly spaced over the split, on which the network is tested with each
            block dropped in turn; None (or more than there are) for all.
    """

    batch_size: Annotated[int, Field(ge=1)]
    threads: Annotated[int, Field(ge=1, le=512)]
    views: Views = "single"
    scales: list[Annotated[int, Field(ge=8, le=2048)]] = Field(default_factory=list)
    response_images: Annotated[int, Field(ge=1)] | None = None
    lesion_images: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _scales_go_with_views(self) -> Self:
        if (self.views == "multi_scale") != bool(self.scales):
            allowed = "at least one length" if self.views == "multi_scale" else "[]"
            raise ValueError(f"scales: {self.scales}: doesn't fit views {self.views!r}; set {allowed}")
        return self


class EvaluateParams(Section):
    """The sections that the pipeline stage `evaluate` reads."""

    augment: AugmentConfig
    evaluate: EvaluateConfig
