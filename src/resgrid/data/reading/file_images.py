"""Images in files: worker processes decode and crop them, the computing device normalizes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from resgrid.config.augment import AugmentConfig, CropConfig
from resgrid.data.reading.batches import DecodedBatch, EvaluationLoader, FilePlan
from resgrid.data.reading.pixels import CROP_DRAWS, center_crop, five_crops, random_crop, read_rgb, scaled
from resgrid.data.reading.store import ImageFiles
from resgrid.data.reading.workers import PREFETCHED, check_shared_memory, lifeline, start_worker, worker_context


class _Views(NamedTuple):
    """Decoded views of some images, all of one size.

    Attributes:
        indices: int64 (n,), image index of each view.
        pixels: uint8 (n, H, W, 3).
    """

    indices: Tensor
    pixels: Tensor


class FileImages:
    """A split's images as files (see `resgrid.data.reading.images.Images`).

    Args:
        files: the split's files.
        shorter_side: length in pixels to which an image's shorter side is scaled before the central crop.
        size: height and width of a crop, in pixels.
        mean: subtracted from pixels scaled to [0, 1]: the mean image (3, size, size), or one value per channel
            (3, 1, 1).
        std: divisor (3, 1, 1) after the subtraction, or None.
        covariance: covariance (3, 3) of the training images' colors, for the color augmentation.
        workers: number of decoding processes; with 0, this process decodes.
    """

    # Smaller than for arrays: each worker prepares several batches ahead.
    VALIDATION_BATCH: ClassVar[Mapping[str, int]] = {"gpu": 100, "cpu": 100}

    def __init__(
        self,
        files: ImageFiles,
        shorter_side: int,
        size: int,
        mean: np.ndarray,
        std: np.ndarray | None,
        covariance: np.ndarray,
        workers: int,
    ) -> None:
        self.files, self.shorter_side, self.size, self.workers = files, shorter_side, size, workers
        self.shape = (3, size, size)
        self._labels = torch.from_numpy(files.labels)
        self._mean = torch.from_numpy(np.array(mean.transpose(1, 2, 0), dtype=np.float32, order="C"))
        scale = np.ones(3) if std is None else 1.0 / std.reshape(3)
        self._scale = torch.from_numpy(scale.astype(np.float32))
        self._components = principal_components(covariance)

    def __len__(self) -> int:
        return len(self.files)

    @property
    def device(self) -> torch.device:
        return self._mean.device

    @property
    def labels(self) -> Tensor:
        """Labels of all images: int64 (N,)."""
        return self._labels

    def to(self, device: torch.device) -> Self:
        """Move to a device, in place."""
        for name in ("_labels", "_mean", "_scale"):
            setattr(self, name, getattr(self, name).to(device))
        return self

    def pixels(self, indices: Tensor) -> np.ndarray:
        """Return central crops without normalization: uint8 (b, 3, size, size); indices (b,)."""
        return self._central_crops([indices]).decode(0).pixels.permute(0, 3, 1, 2).numpy()

    def plain(self, batch: DecodedBatch | Tensor) -> tuple[Tensor, Tensor]:
        """Return normalized central crops (b, 3, size, size), float32 in channels-last layout, and labels (b,).

        Args:
            batch: a batch of `evaluation_loader`, or indices (b,) of images, which this process decodes.
        """
        if isinstance(batch, Tensor):
            batch = self._central_crops([batch]).decode(0)
        return self.normalized(batch.pixels), batch.labels.to(self.device, non_blocking=True)

    def augmented(self, batch: DecodedBatch) -> tuple[Tensor, Tensor]:
        """Return normalized random crops (b, 3, size, size), float32 in channels-last layout, and labels (b,)."""
        return self.normalized(batch.pixels, batch.shifts), batch.labels

    def training_loader(
        self,
        batch_size: int,
        seed: int,
        augment: AugmentConfig,
        max_steps: int,
        first_step: Callable[[], int],
        rank: int,
        world_size: int,
    ) -> FileTrainLoader:
        """Return a rank's batches, decoded; the arguments are those of `TrainLoader` and `FilePlan`.

        Raises:
            ValueError: the batch size is not a multiple of the number of ranks, `augment` is for arrays, or decoded
                batches do not fit into shared memory.
        """
        if augment.crop is None or augment.pad:
            raise ValueError("augment.crop, augment.pad: do not fit data.storage 'files'; set a crop, and pad to 0")
        plan = FilePlan(len(self), batch_size, seed, CROP_DRAWS, augment.flip)
        plan.batch(0, rank, world_size)  # raises if the batch does not divide evenly
        self._check_shared_memory(batch_size // world_size)
        components = augment.lighting * self._components
        batches = _TrainingBatches(self.files, plan, augment.crop, self.size, components, rank, world_size)
        return FileTrainLoader(batches, max_steps, first_step, self.workers)

    def evaluation_loader(self, batch_size: int, rank: int = 0, world_size: int = 1) -> FileEvaluationLoader:
        """Return a rank's images as decoded central crops; all ranks together use each image once."""
        self._check_shared_memory(batch_size)
        indices = list(EvaluationLoader(len(self), batch_size, rank, world_size))
        return FileEvaluationLoader(self._central_crops(indices), self.workers)

    def ten_crops(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield AlexNet's ten crops of every image, normalized: indices (n,) and crops (n, 3, size, size).

        Args:
            batch_size: images that are decoded at a time.
        """
        chunks = list(torch.arange(len(self)).split(batch_size))
        self._check_shared_memory(5 * batch_size)
        yield from self._with_mirror_images(_FiveCrops(self.files, self.shorter_side, self.size, chunks), len(chunks))

    def whole_images(self, scales: Sequence[int], batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield every whole image and its mirror image at each scale, normalized: indices (n,) and (n, 3, h, w).

        Args:
            scales: lengths of the shorter side, in pixels.
            batch_size: images that are decoded at a time.
        """
        chunks = list(torch.arange(len(self)).split(batch_size))
        yield from self._with_mirror_images(_WholeImages(self.files, scales, chunks), len(chunks))

    def _with_mirror_images(self, source: Dataset[Any], batches: int) -> Iterator[tuple[Tensor, Tensor]]:
        for views in decoded(source, range(batches), self.workers):
            for indices, pixels in views:
                for view in (pixels, pixels.flip(2)):
                    yield indices, self.normalized(view)

    def normalized(self, pixels: Tensor, shifts: Tensor | None = None) -> Tensor:
        """Map uint8 (b, H, W, 3) to float32 (b, 3, H, W), channels last; resize a mean image to another H and W."""
        values = pixels.to(self.device, non_blocking=True).float() / 255.0
        if shifts is not None:
            values += shifts[:, None, None, :]
        mean = self._mean
        if len(mean) > 1 and mean.shape != values.shape[1:]:
            planes = mean.permute(2, 0, 1)[None]
            mean = F.interpolate(planes, values.shape[1:3], mode="bilinear", antialias=True)[0].permute(1, 2, 0)
        return ((values - mean) * self._scale).permute(0, 3, 1, 2)

    def _check_shared_memory(self, crops: int) -> None:
        check_shared_memory(self.workers, crops * self.size * self.size * 3)

    def _central_crops(self, chunks: Sequence[Tensor]) -> _CentralCrops:
        return _CentralCrops(self.files, self.shorter_side, self.size, chunks)


def principal_components(covariance: np.ndarray) -> np.ndarray:
    """Return the eigenvectors of the colors' covariance, each times its eigenvalue, as columns: float64 (3, 3).

    Pixels are scaled to [0, 1] as in fb.resnet.torch, where the largest eigenvalue of ImageNet's colors is 0.2175. The
    product depends on this scale, which Krizhevsky et al. (2012, section 4.1) do not state.
    """
    values, vectors = np.linalg.eigh(covariance)
    # The sign of an eigenvector is arbitrary: make its largest component positive, so that all machines agree.
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=0)[np.newaxis], axis=0)
    return vectors * np.sign(largest) * values


def decoded(source: Dataset[Any], order: Iterable[int], workers: int) -> Iterator[Any]:
    """Yield the items of a source in the given order; worker processes decode them ahead of use.

    Raises:
        ValueError: a file is missing, changed or unreadable.
    """
    context = worker_context(__name__)
    with lifeline(context) as line:
        loader = DataLoader(
            source,
            batch_size=None,
            sampler=order,
            num_workers=workers,
            prefetch_factor=PREFETCHED if workers else None,
            multiprocessing_context=context if workers else None,
            worker_init_fn=partial(start_worker, line),
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # the global generator would draw once more after a resume
        )
        items = iter(loader)
        try:
            for item in items:
                # An error raised in a worker would have the worker's traceback as its message.
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            del items  # ends the workers


class FileTrainLoader:
    """Yields a rank's decoded batches from the current step to the last step.

    Args:
        batches: the training's batches, by step.
        max_steps: steps of the whole training; also the loader's length, so that Lightning counts a single epoch.
        first_step: returns the number of completed steps; called when the iteration begins, after a resume.
        workers: number of decoding processes.
    """

    def __init__(self, batches: _TrainingBatches, max_steps: int, first_step: Callable[[], int], workers: int) -> None:
        self.batches, self.max_steps, self.first_step, self.workers = batches, max_steps, first_step, workers

    def __len__(self) -> int:
        return self.max_steps

    def __iter__(self) -> Iterator[DecodedBatch]:
        yield from decoded(self.batches, range(self.first_step(), self.max_steps), self.workers)


class FileEvaluationLoader:
    """Yields the decoded central crops of a rank's images."""

    def __init__(self, crops: _CentralCrops, workers: int) -> None:
        self.crops, self.workers = crops, workers

    def __len__(self) -> int:
        return len(self.crops)

    def __iter__(self) -> Iterator[DecodedBatch]:
        yield from decoded(self.crops, range(len(self)), self.workers)


class _Batches(Dataset[Any]):
    """Batches as a data set for the workers: item i is batch i, or the error that reading it raised."""

    files: ImageFiles

    def __getitem__(self, number: int) -> Any:
        try:
            return self.decode(number)
        except ValueError as error:
            return error

    def decode(self, number: int) -> Any:
        """Read and decode a batch.

        Raises:
            ValueError: a file is missing, changed or unreadable.
        """
        raise NotImplementedError

    def _image(self, index: int) -> Image.Image:
        content = self.files.read(index)
        try:
            return read_rgb(content)
        except ValueError as error:
            raise ValueError(f"{self.files.name(index)}: not a readable image: {error}") from error

    def _labels(self, indices: Tensor) -> Tensor:
        return torch.from_numpy(self.files.labels[indices.numpy()])


@dataclass(eq=False)
class _TrainingBatches(_Batches):
    """A rank's training batches by step."""

    files: ImageFiles
    plan: FilePlan
    crop: CropConfig
    size: int
    components: np.ndarray
    rank: int
    world_size: int

    def decode(self, number: int) -> DecodedBatch:
        batch = self.plan.batch(number, self.rank, self.world_size)
        pixels = np.empty((len(batch.indices), self.size, self.size, 3), np.uint8)
        for row, (index, draws, flip) in enumerate(
            zip(batch.indices.tolist(), batch.crops.tolist(), batch.flips.tolist(), strict=True)
        ):
            crop = random_crop(self._image(index), self.crop, self.size, draws)
            pixels[row] = crop[:, ::-1] if flip else crop
        shifts = (batch.lighting.numpy() @ self.components.T).astype(np.float32)
        return DecodedBatch(torch.from_numpy(pixels), self._labels(batch.indices), torch.from_numpy(shifts))


@dataclass(eq=False)
class _CentralCrops(_Batches):
    """The central crops of the images of each chunk of indices."""

    files: ImageFiles
    shorter_side: int
    size: int
    chunks: Sequence[Tensor]

    def __len__(self) -> int:
        return len(self.chunks)

    def decode(self, number: int) -> DecodedBatch:
        indices = self.chunks[number].cpu()
        crops = [center_crop(scaled(self._image(index), self.shorter_side), self.size) for index in indices.tolist()]
        pixels = torch.from_numpy(np.stack([np.asarray(crop) for crop in crops]))
        return DecodedBatch(pixels, self._labels(indices), torch.zeros(len(indices), 3))


@dataclass(eq=False)
class _FiveCrops(_Batches):
    """Corners and center of the images of each chunk of indices."""

    files: ImageFiles
    shorter_side: int
    size: int
    chunks: Sequence[Tensor]

    def decode(self, number: int) -> list[_Views]:
        indices = self.chunks[number]
        crops = [five_crops(self._image(index), self.shorter_side, self.size) for index in indices.tolist()]
        return [
            _Views(indices.repeat_interleave(5), torch.from_numpy(np.concatenate([np.stack(five) for five in crops])))
        ]


@dataclass(eq=False)
class _WholeImages(_Batches):
    """The images of each chunk of indices at each scale, by their size."""

    files: ImageFiles
    scales: Sequence[int]
    chunks: Sequence[Tensor]

    def decode(self, number: int) -> list[_Views]:
        groups: dict[tuple[int, int], list[tuple[int, np.ndarray]]] = {}
        for index in self.chunks[number].tolist():
            image = self._image(index)
            for scale in self.scales:
                whole = scaled(image, scale)
                groups.setdefault(whole.size, []).append((index, np.asarray(whole)))
        return [
            _Views(
                torch.tensor([index for index, _ in views]), torch.from_numpy(np.stack([pixels for _, pixels in views]))
            )
            for views in groups.values()
        ]
