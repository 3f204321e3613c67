"""The sections `data` and `split`: which images, where they come from, how they are divided."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from resgrid.config.reading import Section, Seed
from resgrid.credentials import has_credentials, without_credentials
from resgrid.datasets import DATASETS, IMAGEFOLDER

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class DataConfig(Section):
    """Which images, and where they come from.

    Attributes:
        name: a key of `DATASETS`, or `imagefolder` for `train/<class>/*` and `test|val/<class>/*`.
        label: the data's name in the report; by default the data set's usual name.
        source: a mirror's URL, a local folder or (imagefolder) an archive; by default the published URLs.
        sha256: checksums by file name. A downloaded `imagefolder` archive needs one; elsewhere they override the
            published checksums.
        storage: `arrays` decodes every image once, to one size, into memory; `files` decodes the files of an
            `imagefolder` during training, for data that don't fit into memory.
        image_size: height and width in pixels to which `imagefolder` images are resized or, with storage `files`,
            cropped. Published data sets keep their size.
        shorter_side: storage `files` only: length in pixels to which the shorter side is scaled before a central crop.
        follow_links: accept links in a local `imagefolder` that lead out of it.
        corrupt: what `preprocess` does with unreadable image files: `error` lists them and fails, `skip` (storage
            `files` only) omits them and names them in `card.json`.
    """

    name: str
    label: str | None = None
    source: str | None = None
    sha256: dict[str, Sha256] = Field(default_factory=dict)
    storage: Literal["arrays", "files"] = "arrays"
    image_size: Annotated[int, Field(ge=8, le=1024)] | None = None
    shorter_side: Annotated[int, Field(ge=8, le=2048)] | None = None
    follow_links: bool = False
    corrupt: Literal["error", "skip"] = "error"

    @field_validator("name")
    @classmethod
    def _name_is_known(cls, name: str) -> str:
        if name not in (*DATASETS, IMAGEFOLDER):
            raise ValueError(f": {name!r}: is not a known data set; use {', '.join(DATASETS)} or {IMAGEFOLDER}")
        return name

    @field_validator("source")
    @classmethod
    def _source_has_no_credentials(cls, source: str | None) -> str | None:
        if source is not None and has_credentials(source):
            raise ValueError(
                f": {without_credentials(source)!r}: contains credentials, which files and reports would show; remove "
                "them, and set the environment variable RESGRID_DATA_SOURCE to the whole URL or use ~/.netrc"
            )
        return source

    @model_validator(mode="after")
    def _imagefolder_options(self) -> Self:
        if self.name == IMAGEFOLDER and self.source is None:
            raise ValueError("source: None: is needed by 'imagefolder'; set a folder, an archive or a URL")
        if self.name != IMAGEFOLDER and self.image_size is not None:
            raise ValueError(f"image_size: {self.image_size}: {self.name!r} keeps its own size; set null")
        return self

    @model_validator(mode="after")
    def _storage_options(self) -> Self:
        if self.storage == "arrays":
            if self.shorter_side is not None:
                raise ValueError(f"shorter_side: {self.shorter_side}: applies to storage 'files' only; set null")
            if self.corrupt != "error":
                raise ValueError(f"corrupt: {self.corrupt!r}: applies to storage 'files' only; set 'error'")
            return self
        if self.name != IMAGEFOLDER:
            raise ValueError(f"storage: 'files': applies to 'imagefolder' only; set 'arrays' for {self.name!r}")
        if self.image_size is None:
            raise ValueError("image_size: None: is needed by storage 'files'; set the side of a crop, such as 224")
        if self.shorter_side is None or self.shorter_side < self.image_size:
            raise ValueError(
                f"shorter_side: {self.shorter_side}: is too small for storage 'files'; "
                f"set at least image_size, {self.image_size}"
            )
        return self


class SplitConfig(Section):
    """How the images are divided. Counts are images, stratified by class.

    Attributes:
        val: validation images, taken from the training images.
        test: test images, taken from the training images if the data set has no test split (digits); else None.
        seed: seed of the division, shared by all cells of the grid.
    """

    val: Annotated[int, Field(ge=1)]
    test: Annotated[int, Field(ge=1)] | None = None
    seed: Seed = 0


class DownloadParams(Section):
    """The sections that the pipeline stage `download` reads."""

    data: DataConfig


class PreprocessParams(Section):
    """The sections that the pipeline stage `preprocess` reads."""

    data: DataConfig
    split: SplitConfig

    @model_validator(mode="after")
    def _test_split_comes_from_one_place(self) -> Self:
        test, name = self.split.test, self.data.name
        published = name == IMAGEFOLDER or DATASETS[name].has_test_split
        if not published and test is None:
            raise ValueError(f"split.test: None: {name!r} has no test split; set the number of test images")
        if published and test is not None:
            raise ValueError(f"split.test: {test}: {name!r} has its own test split; set null")
        return self
