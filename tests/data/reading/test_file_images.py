"""Batches of image files: the same pixels on any number of ranks and workers, and normalized by hand-made numbers."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from resgrid.artifacts.data_card import PreparedPaths
from resgrid.artifacts.files import write_atomically
from resgrid.config.augment import AugmentConfig, CropConfig
from resgrid.data.fetching.index import index_files
from resgrid.data.reading.batches import DecodedBatch, FilePlan
from resgrid.data.reading.file_images import FileImages, principal_components
from resgrid.data.reading.pixels import CROP_DRAWS, center_crop, read_rgb, scaled
from resgrid.data.reading.store import ImageFiles, as_npy
from support.image_folder import CLASSES, SIZES, jpeg, make_image_folder, picture

SCALE = AugmentConfig(normalize="channel", pad=0, flip=True, crop=CropConfig(shorter_side=[24, 36]), lighting=0.1)
AREA = SCALE.model_copy(update={"crop": CropConfig(area=[0.08, 1.0])})
COVARIANCE = np.diag([0.01, 0.04, 0.09])


def image_files(folder: Path) -> ImageFiles:
    paths = PreparedPaths(Path("prepared").absolute())
    files = index_files(folder, (path.relative_to(folder).as_posix() for path in folder.glob("train/*/*")))
    labels = [CLASSES.index(file.path.split("/")[1]) for file in files]
    write_atomically(paths.labels("train"), as_npy(np.array(labels)))
    write_atomically(paths.image_files("train"), as_npy(np.array([file.path.encode() for file in files])))
    hashes = [list(bytes.fromhex(file.sha256)) for file in files]
    write_atomically(paths.image_hashes("train"), as_npy(np.array(hashes, dtype=np.uint8)))
    return ImageFiles(paths, "train", folder.absolute())


def file_images(
    workers: int = 0, mean: float | np.ndarray = 0.0, std: float | None = None, covariance: np.ndarray = COVARIANCE
) -> FileImages:
    files = image_files(make_image_folder(Path("images")))
    means = np.broadcast_to(mean, (3, 1, 1)) if np.isscalar(mean) else np.asarray(mean)
    deviations = None if std is None else np.full((3, 1, 1), std)
    return FileImages(files, 28, 24, means, deviations, covariance, workers)


def digest(batch: DecodedBatch) -> str:
    return hashlib.sha256(b"".join(part.numpy().tobytes() for part in batch)).hexdigest()


def batches(images: FileImages, augment: AugmentConfig, start: int, stop: int, rank: int = 0, world: int = 1) -> list:
    return list(images.training_loader(12, 5, augment, stop, lambda: start, rank, world))


@pytest.mark.parametrize("augment", [SCALE, AREA], ids=["scale", "area"])
def test_a_steps_pixels_are_the_same_on_any_number_of_ranks_and_after_a_resume(augment: AugmentConfig) -> None:
    images = file_images()
    whole = batches(images, augment, 0, 5)  # 36 images: step 3 begins the second epoch
    for world in (2, 3):
        for start in (0, 3):
            shares = [batches(images, augment, start, 5, rank, world) for rank in range(world)]
            for step, parts in enumerate(zip(*shares, strict=True), start):
                assert digest(DecodedBatch(*map(torch.cat, zip(*parts, strict=True)))) == digest(whole[step])
    assert len({digest(batch) for batch in whole}) == 5


def test_workers_change_nothing() -> None:
    images = file_images()
    alone = batches(images, SCALE, 1, 5)
    images.workers = 2
    assert [digest(batch) for batch in batches(images, SCALE, 1, 5)] == [digest(batch) for batch in alone]
    images.workers = 1
    assert torch.equal(torch.cat([batch.labels for batch in images.evaluation_loader(10)]), images.labels)
    # An error in a worker has a plain message.
    broken = Path("images") / images.files.name(0)
    broken.write_bytes(b"another")
    with pytest.raises(ValueError, match=r"^\S*train/cat/00.jpg: the content has changed since"):
        list(images.evaluation_loader(10))


def test_workers_without_room_in_shared_memory_are_refused() -> None:
    images = file_images()
    images.size = 10**6  # 10 images need 30 TB
    images.evaluation_loader(10)  # without workers, nothing is shared
    images.workers = 2
    problem = r"^machine.workers: 2: decoded batches need 150,000,000 MB in /dev/shm, .* or set machine.workers to 0"
    with pytest.raises(ValueError, match=problem):
        images.evaluation_loader(10)
    with pytest.raises(ValueError, match=r"^machine.workers: 2: "):
        images.training_loader(12, 0, SCALE, 1, lambda: 0, 0, 1)


def test_the_global_random_state_is_left_alone() -> None:
    images = file_images()
    before = torch.get_rng_state()
    batches(images, SCALE, 0, 2)
    list(images.evaluation_loader(10))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_plan_is_a_pure_function_of_seed_and_step() -> None:
    plan = FilePlan(num_images=10, batch_size=4, seed=3, draws=5, flip=True)
    again = FilePlan(num_images=10, batch_size=4, seed=3, draws=5, flip=True)
    for step in (7, 0, 3):
        assert all(map(torch.equal, plan.global_batch(step), again.global_batch(step)))
    assert not torch.equal(plan.global_batch(0).crops, plan.global_batch(1).crops)
    other = FilePlan(num_images=10, batch_size=4, seed=4, draws=5, flip=True).global_batch(0)
    assert not torch.equal(plan.global_batch(0).lighting, other.lighting)
    seen = torch.cat([plan.global_batch(step).indices for step in range(5)])
    assert sorted(seen[:10].tolist()) == sorted(seen[10:].tolist()) == list(range(10))
    assert not FilePlan(10, 1000, 3, 5, flip=False).global_batch(0).flips.any()
    assert FilePlan(10, 1000, 3, 5, flip=True).global_batch(0).flips.float().mean() == pytest.approx(0.5, abs=0.05)
    with pytest.raises(ValueError, match=r"train\.batch_size: 4: does not divide evenly over 3 devices"):
        plan.batch(0, 0, 3)


def test_augmentation_for_the_other_storage_is_refused() -> None:
    images = file_images()
    with pytest.raises(ValueError, match=r"augment.crop, augment.pad: do not fit data.storage 'files'; set a crop"):
        batches(images, SCALE.model_copy(update={"crop": None}), 0, 1)


def test_crops_of_training_are_scaled_flipped_and_lit_by_their_random_numbers() -> None:
    """One image at a scale with a single possible crop: only the flip and the lighting are random."""
    Path("images/train/cat").mkdir(parents=True)
    Path("images/train/cat/00.jpg").write_bytes(jpeg(picture(24, 24, seed=1)))
    images = FileImages(image_files(Path("images")), 24, 24, np.zeros((3, 1, 1)), None, COVARIANCE, 0)
    augment = SCALE.model_copy(update={"crop": CropConfig(shorter_side=[24, 24])})
    (batch,) = images.training_loader(8, 0, augment, 1, lambda: 0, 0, 1)
    plan = FilePlan(1, 8, 0, CROP_DRAWS, flip=True).global_batch(0)
    original = torch.from_numpy(np.array(read_rgb(Path("images/train/cat/00.jpg").read_bytes())))
    assert 0 < plan.flips.sum() < 8
    for pixels, flip in zip(batch.pixels, plan.flips, strict=True):
        assert torch.equal(pixels, original.flip(1) if flip else original)
    # With a diagonal covariance, the components are the colors themselves.
    expected = 0.1 * plan.lighting * torch.tensor([0.01, 0.04, 0.09])
    torch.testing.assert_close(batch.shifts.double(), expected, rtol=1e-6, atol=1e-9)
    lit, _ = images.augmented(batch)
    torch.testing.assert_close(lit[0].permute(1, 2, 0), batch.pixels[0] / 255 + batch.shifts[0], rtol=1e-6, atol=1e-7)
    assert lit.is_contiguous(memory_format=torch.channels_last)


def test_principal_components_by_hand() -> None:
    # Red and green vary together: (1, 1, 0)/√2 has the eigenvalue 0.05, (1, -1, 0)/√2 has 0.01, and blue 0.02.
    covariance = np.array([[0.03, 0.02, 0.0], [0.02, 0.03, 0.0], [0.0, 0.0, 0.02]])
    columns = principal_components(covariance).T
    half = math.sqrt(0.5)
    first, second, third = columns[[0, 1, 2]]
    np.testing.assert_allclose(np.abs(first), [0.01 * half, 0.01 * half, 0], atol=1e-12)
    np.testing.assert_allclose(second, [0, 0, 0.02], atol=1e-12)
    np.testing.assert_allclose(third, [0.05 * half, 0.05 * half, 0], atol=1e-12)


def test_plain_images_are_normalized_central_crops() -> None:
    images = file_images(mean=0.25, std=0.5)
    (first, *_) = images.evaluation_loader(10)
    pixels, labels = images.plain(first)
    again, same_labels = images.plain(torch.arange(10))
    assert torch.equal(pixels, again)
    assert labels.tolist() == same_labels.tolist() == images.labels[:10].tolist()
    crop = center_crop(scaled(read_rgb(images.files.read(3)), 28), 24)
    expected = (torch.from_numpy(np.array(crop)) / 255 - 0.25) / 0.5
    torch.testing.assert_close(pixels[3].permute(1, 2, 0), expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(images.pixels(torch.tensor([3]))[0], np.asarray(crop).transpose(2, 0, 1))


def test_the_mean_image_is_subtracted_and_stretched_to_other_sizes() -> None:
    ramp = np.broadcast_to(np.linspace(0, 1, 24), (3, 24, 24))
    images = file_images(mean=ramp)
    gray = torch.full((1, 24, 24, 3), 255, dtype=torch.uint8)
    torch.testing.assert_close(images.normalized(gray)[0], 1 - torch.from_numpy(ramp.copy()).float())
    wide = images.normalized(torch.full((1, 24, 48, 3), 255, dtype=torch.uint8))
    assert wide.shape == (1, 3, 24, 48)
    assert wide[0, 0, 0, 0] == pytest.approx(1.0, abs=0.02)
    assert wide[0, 0, 0, 23:25].mean() == pytest.approx(0.5, abs=0.02)
    assert wide[0, 0, 0, -1] == pytest.approx(0.0, abs=0.02)


def test_every_image_has_all_its_views_and_their_mirror_images() -> None:
    images = file_images()
    crops = list(images.ten_crops(10))
    assert sorted(torch.cat([indices for indices, _ in crops]).tolist()) == np.repeat(np.arange(36), 10).tolist()
    assert {views.shape[1:] for _, views in crops} == {(3, 24, 24)}
    wholes = list(images.whole_images([24, 32], 10))
    assert sorted(torch.cat([indices for indices, _ in wholes]).tolist()) == np.repeat(np.arange(36), 4).tolist()
    assert {min(views.shape[2:]) for _, views in wholes} == {24, 32}
    assert len({views.shape[2:] for _, views in wholes}) >= 2 * (len(SIZES) - 1)
    for views in (crops, wholes):
        (of_these, as_they_are), (of_those, mirrored) = views[:2]
        assert torch.equal(of_these, of_those)
        assert torch.equal(as_they_are.flip(3), mirrored)
