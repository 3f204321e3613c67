"""Images that stay in their files: decoded and cropped by worker processes, normalized on the computing device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
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
from resgrid.data.reading.batches import EvaluationLoader, FilePlan
from resgrid.data.reading.pixels import CROP_DRAWS, center_crop, five_crops, random_crop, read_rgb, scaled
from resgrid.data.reading.store import ImageFiles
from resgrid.data.reading.workers import lifeline, start_worker, worker_context

_PREFETCHED = 2  # batches that each worker keeps ready


class DecodedBatch(NamedTuple):
    """Images of one size, as the workers hand them over.

    Attributes:
        pixels: uint8 (b, H, W, 3).
        labels: int64 (b,).
        shifts: float32 (b, 3), added to the colors of pixels scaled to [0, 1].
    """

    pixels: Tensor
    labels: Tensor
    shifts: Tensor


class Views(NamedTuple):
    """Views of some images, all of one size.

    Attributes:
        indices: int64 (n,), which image of the split each view is of.
        pixels: uint8 (n, H, W, 3).
    """

    indices: Tensor
    pixels: Tensor


class FileImages:
    """A split of images in files, and the batches made of them. Its counterpart for arrays is `DeviceImages`.

    Args:
        files: of the split.
        shorter_side: length in pixels to which an image's shorter side is scaled before the central crop.
        size: side of a crop, in pixels.
        mean: subtracted from pixels scaled to [0, 1]: the mean image (3, size, size), or (3, 1, 1) for each channel.
        std: (3, 1, 1) to divide by afterwards, or None.
        covariance: of the training images' colors, (3, 3), for the color augmentation.
        workers: processes that decode; 0 for none.
    """

    # Smaller than for arrays: each worker keeps several ready.
    VALIDATION_BATCH: ClassVar = {"gpu": 100, "cpu": 100}

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
        """int64 (N,)."""
        return self._labels

    def to(self, device: torch.device) -> Self:
        for name in ("_labels", "_mean", "_scale"):
            setattr(self, name, getattr(self, name).to(device))
        return self

    def pixels(self, indices: Tensor) -> np.ndarray:
        """Central crops as they are, uint8 (b, 3, size, size); indices (b,)."""
        return self._central_crops([indices]).decode(0).pixels.permute(0, 3, 1, 2).numpy()

    def plain(self, batch: DecodedBatch | Tensor) -> tuple[Tensor, Tensor]:
        """Normalised central crops (b, 3, size, size), float32 in channels-last layout, and labels (b,).

        Args:
            batch: of `evaluation_loader`; or indices (b,) of images, which are decoded here and now.
        """
        if isinstance(batch, Tensor):
            batch = self._central_crops([batch]).decode(0)
        return self.normalized(batch.pixels), batch.labels.to(self.device, non_blocking=True)

    def augmented(self, batch: DecodedBatch) -> tuple[Tensor, Tensor]:
        """Normalised random crops (b, 3, size, size), float32 in channels-last layout, and labels (b,)."""
        return self.normalized(batch.pixels, batch.shifts), batch.labels

    def normalized(self, pixels: Tensor, shifts: Tensor | None = None) -> Tensor:
        """uint8 (b, H, W, 3) to float32 (b, 3, H, W), channels last. A mean image is stretched to another size."""
        values = pixels.to(self.device, non_blocking=True).float() / 255.0
        if shifts is not None:
            values += shifts[:, None, None, :]
        mean = self._mean
        if len(mean) > 1 and mean.shape != values.shape[1:]:
            planes = mean.permute(2, 0, 1)[None]
            mean = F.interpolate(planes, values.shape[1:3], mode="bilinear", antialias=True)[0].permute(1, 2, 0)
        return ((values - mean) * self._scale).permute(0, 3, 1, 2)

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
        """A rank's batches, decoded; arguments as of `TrainLoader`.

        Raises:
            ValueError: the batch doesn't divide evenly over the ranks, or the augmentation is for images in arrays.
        """
        if augment.crop is None or augment.pad:
            raise ValueError("augment.crop, augment.pad: data.storage 'files' needs a way to crop, and no padding")
        plan = FilePlan(len(self), batch_size, seed, CROP_DRAWS, augment.flip)
        plan.batch(0, rank, world_size)  # an uneven division fails here
        components = augment.lighting * self._components
        batches = _TrainingBatches(self.files, plan, augment.crop, self.size, components, rank, world_size)
        return FileTrainLoader(batches, max_steps, first_step, self.workers)

    def evaluation_loader(self, batch_size: int, rank: int = 0, world_size: int = 1) -> FileEvaluationLoader:
        """A rank's images, each image of the split once over all ranks, as decoded central crops."""
        indices = list(EvaluationLoader(len(self), batch_size, rank, world_size))
        return FileEvaluationLoader(self._central_crops(indices), self.workers)

    def ten_crops(self, batch_size: int) -> Iterator[list[Views]]:
        """Half of the ten crops of every image, `batch_size` images at once; the others are their mirror images."""
        chunks = list(torch.arange(len(self)).split(batch_size))
        crops = _FiveCrops(self.files, self.shorter_side, self.size, chunks)
        return decoded(crops, range(len(chunks)), self.workers)

    def whole_images(self, scales: Sequence[int], batch_size: int) -> Iterator[list[Views]]:
        """Every image at each scale, `batch_size` images at once, those of one size together."""
        chunks = list(torch.arange(len(self)).split(batch_size))
        return decoded(_WholeImages(self.files, scales, chunks), range(len(chunks)), self.workers)

    def _central_crops(self, chunks: Sequence[Tensor]) -> _CentralCrops:
        return _CentralCrops(self.files, self.shorter_side, self.size, chunks)


def principal_components(covariance: np.ndarray) -> np.ndarray:
    """Eigenvectors of the colors' covariance, each times its eigenvalue, as columns: float64 (3, 3).

    On pixels scaled to [0, 1], as in fb.resnet.torch, where the largest eigenvalue of ImageNet's colors is 0.2175. The
    product depends on the scale of the pixels, which Krizhevsky et al. (2012, section 4.1) don't give.
    """
    values, vectors = np.linalg.eigh(covariance)
    # An eigenvector's sign is arbitrary: its largest part is made positive, so that every machine draws the same.
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=0)[np.newaxis], axis=0)
    return vectors * np.sign(largest) * values


def decoded(source: Dataset[Any], order: Iterable[int], workers: int) -> Iterator[Any]:
    """The items of a source in an order, decoded by worker processes ahead of their use.

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
            prefetch_factor=_PREFETCHED if workers else None,
            multiprocessing_context=context if workers else None,
            worker_init_fn=partial(start_worker, line),
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # otherwise it draws from the global one, and a resumed run would once more
        )
        items = iter(loader)
        try:
            for item in items:
                # Raised in a worker, an error would come with the worker's traceback as its message.
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            del items  # which ends the workers in good order


class FileTrainLoader:
    """Yields a rank's decoded batches from the step that the training has reached up to the last one.

    Args:
        batches: by step.
        max_steps: of the whole training; also the loader's length, so that Lightning counts one epoch of steps.
        first_step: asked when the iteration begins; after a resume it says how many steps are done.
        workers: processes that decode.
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
    """What the workers do: the item of a number is a batch, or the error that it ends with."""

    files: ImageFiles

    def __getitem__(self, number: int) -> Any:
        try:
            return self.decode(number)
        except ValueError as error:
            return error

    def decode(self, number: int) -> Any:
        """The batch of a number.

        Raises:
            ValueError: a file is missing, changed or unreadable.
        """
        raise NotImplementedError

    def _image(self, index: int) -> Image.Image:
        content = self.files.read(index)
        try:
            return read_rgb(content)
        except ValueError as error:
            raise ValueError(f"{self.files.name(index)} can't be read as an image: {error}") from error

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

    def decode(self, number: int) -> list[Views]:
        indices = self.chunks[number]
        crops = [five_crops(self._image(index), self.shorter_side, self.size) for index in indices.tolist()]
        return [
            Views(indices.repeat_interleave(5), torch.from_numpy(np.concatenate([np.stack(five) for five in crops])))
        ]


@dataclass(eq=False)
class _WholeImages(_Batches):
    """The images of each chunk of indices at each scale, by their size."""

    files: ImageFiles
    scales: Sequence[int]
    chunks: Sequence[Tensor]

    def decode(self, number: int) -> list[Views]:
        groups: dict[tuple[int, int], list[tuple[int, np.ndarray]]] = {}
        for index in self.chunks[number].tolist():
            image = self._image(index)
            for scale in self.scales:
                whole = scaled(image, scale)
                groups.setdefault(whole.size, []).append((index, np.asarray(whole)))
        return [
            Views(
                torch.tensor([index for index, _ in views]), torch.from_numpy(np.stack([pixels for _, pixels in views]))
            )
            for views in groups.values()
        ]
