"""The sections `data` and `split`: which images, where they come from, how they are divided."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from resgrid.config.reading import Section

DatasetName = Literal["digits", "mnist", "fashion_mnist", "cifar10", "cifar100", "imagefolder"]


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class DataConfig(Section):
    """Which images, and where they come from.

    Attributes:
        name: one of the known data sets, or `imagefolder` for `train/<class>/*`, `test|val/<class>/*`.
        label: what the report calls the data; by default the data set's usual name.
        source: a mirror's address, a local folder or (imagefolder) an archive; by default the published addresses.
        sha256: checksums by file name: needed for an `imagefolder` archive that is downloaded; elsewhere they
            override the published ones.
        storage: `arrays` decodes every image once, to one size, for memory; `files` keeps an `imagefolder`'s files and
            decodes them while training, which is for data too large for `arrays`.
        image_size: height and width in pixels to which `imagefolder` images are resized, or of their crops with
            `files`; others keep their own.
        shorter_side: `files` only: length in pixels to which an image's shorter side is scaled before a central crop.
        corrupt: what `preprocess` does about image files that can't be read: an `error` that lists them, or (`files`
            only) `skip` them, counted and named in `card.json`.
    """

    name: DatasetName
    label: str | None = None
    source: str | None = None
    sha256: dict[str, Sha256] = Field(default_factory=dict)
    storage: Literal["arrays", "files"] = "arrays"
    image_size: Annotated[int, Field(ge=8, le=1024)] | None = None
    shorter_side: Annotated[int, Field(ge=8, le=2048)] | None = None
    corrupt: Literal["error", "skip"] = "error"

    @model_validator(mode="after")
    def _imagefolder_needs_a_place(self) -> Self:
        if self.name == "imagefolder" and self.source is None:
            raise ValueError("source: None: the data set 'imagefolder' needs a folder, an archive or an address here")
        if self.name != "imagefolder" and self.image_size is not None:
            raise ValueError(
                f"image_size: {self.image_size}: only 'imagefolder' resizes; {self.name!r} keeps its own size"
            )
        return self

    @model_validator(mode="after")
    def _files_have_sizes(self) -> Self:
        if self.storage == "arrays":
            if self.shorter_side is not None:
                raise ValueError(f"shorter_side: {self.shorter_side}: only storage 'files' scales so; allowed is null")
            if self.corrupt != "error":
                raise ValueError(f"corrupt: {self.corrupt!r}: only storage 'files' skips; allowed is 'error'")
            return self
        if self.name != "imagefolder":
            raise ValueError(f"storage: 'files': only 'imagefolder' has files; allowed for {self.name!r} is 'arrays'")
        if self.image_size is None:
            raise ValueError("image_size: None: storage 'files' needs the size of its crops, such as 224")
        if self.shorter_side is None or self.shorter_side < self.image_size:
            raise ValueError(
                f"shorter_side: {self.shorter_side}: storage 'files' needs at least image_size, {self.image_size}"
            )
        return self


class SplitConfig(Section):
    """How the images are divided. Counts are images, stratified by class.

    Attributes:
        val: images taken out of the training images for validation.
        test: images taken out for the test, for data that come without a test split (digits); else None.
        seed: of the division, the same for every cell of the grid.
    """

    val: Annotated[int, Field(ge=1)]
    test: Annotated[int, Field(ge=1)] | None = None
    seed: Annotated[int, Field(ge=0)] = 0


class DownloadParams(Section):
    """The sections that the pipeline stage `download` reads."""

    data: DataConfig


class PreprocessParams(Section):
    """The sections that the pipeline stage `preprocess` reads."""

    data: DataConfig
    split: SplitConfig

    @model_validator(mode="after")
    def _only_digits_need_a_test_split(self) -> Self:
        test, name = self.split.test, self.data.name
        if name == "digits" and test is None:
            raise ValueError("split.test: None: digits have no test split; set the number of images to take out")
        if name != "digits" and test is not None:
            raise ValueError(f"split.test: {test}: {name!r} has its own test split; set null")
        return self
