"""A batch is a pure function of (seed, step), the same on any number of ranks."""

import itertools

import numpy as np
import pytest
import torch

from resgrid.data.reading.batches import BatchPlan, EvaluationLoader, TrainLoader
from resgrid.data.reading.device_images import DeviceImages

PLAN = BatchPlan(num_images=10, batch_size=4, seed=3, pad=2, flip=True)


def test_every_epoch_uses_each_image_once_also_across_batches() -> None:
    indices = torch.cat([PLAN.global_batch(step).indices for step in range(10)])
    for epoch in indices.split(10):
        assert sorted(epoch.tolist()) == list(range(10))
    assert indices[:10].tolist() != indices[10:20].tolist()


def test_steps_can_be_drawn_in_any_order() -> None:
    forwards = [PLAN.global_batch(step) for step in range(8)]
    fresh = BatchPlan(num_images=10, batch_size=4, seed=3, pad=2, flip=True)
    for step in (7, 0, 3):
        for ours, theirs in zip(fresh.global_batch(step), forwards[step], strict=True):
            assert torch.equal(ours, theirs)


def test_the_seed_changes_order_and_augmentation() -> None:
    other = BatchPlan(num_images=10, batch_size=4, seed=4, pad=2, flip=True).global_batch(0)
    mine = PLAN.global_batch(0)
    assert not torch.equal(mine.indices, other.indices)
    assert not torch.equal(mine.offsets, other.offsets)


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_the_ranks_parts_together_are_the_global_batch(world_size: int) -> None:
    for step in (0, 1, 2, 25):  # step 2 crosses the end of the first epoch
        parts = [PLAN.batch(step, rank, world_size) for rank in range(world_size)]
        for whole, *shares in zip(PLAN.global_batch(step), *parts, strict=True):
            assert torch.equal(torch.cat(shares), whole)


def test_an_uneven_division_is_refused() -> None:
    with pytest.raises(ValueError, match=r"train\.batch_size: 4: does not divide evenly over 3 devices"):
        PLAN.batch(0, 0, 3)


def test_offsets_fill_their_range_and_flips_are_even() -> None:
    plan = BatchPlan(num_images=1000, batch_size=1000, seed=0, pad=2, flip=True)
    batch = plan.global_batch(0)
    assert set(batch.offsets.flatten().tolist()) == {-2, -1, 0, 1, 2}
    assert batch.flips.float().mean().item() == pytest.approx(0.5, abs=0.05)
    plain = BatchPlan(num_images=1000, batch_size=1000, seed=0, pad=0, flip=False).global_batch(0)
    assert not plain.flips.any()
    assert not plain.offsets.any()


def test_the_loader_starts_at_the_current_step() -> None:
    done = 0
    loader = TrainLoader(PLAN, 6, lambda: done, rank=0, world_size=1)
    whole = [batch.indices.tolist() for batch in loader]
    done = 4
    assert [batch.indices.tolist() for batch in loader] == whole[4:]
    assert len(loader) == 6


@pytest.mark.parametrize(("num_images", "world_size"), [(101, 1), (101, 2), (101, 3), (2, 3)])
def test_evaluation_uses_each_image_once_on_any_number_of_ranks(num_images: int, world_size: int) -> None:
    loaders = [EvaluationLoader(num_images, 25, rank, world_size) for rank in range(world_size)]
    seen = torch.cat(list(itertools.chain(*loaders)))
    assert sorted(seen.tolist()) == list(range(num_images))
    assert all(len(list(loader)) == len(loader) for loader in loaders)


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_the_pixels_of_a_step_are_the_same_on_any_number_of_ranks_and_after_a_resume(world_size: int) -> None:
    generator = np.random.default_rng(0)
    source = DeviceImages(
        generator.integers(0, 256, (40, 3, 8, 8), dtype=np.uint8), np.arange(40), np.full((3, 1, 1), 0.5), None
    )
    plan = BatchPlan(num_images=40, batch_size=12, seed=1, pad=2, flip=True)
    for step in (0, 1, 3, 50):  # step 3 crosses the end of the first epoch
        expected, labels = source.augmented(plan.global_batch(step))
        loaders = [TrainLoader(plan, step + 1, lambda at=step: at, rank, world_size) for rank in range(world_size)]
        parts = [source.augmented(next(iter(loader))) for loader in loaders]
        assert torch.equal(torch.cat([pixels for pixels, _ in parts]), expected)
        assert torch.equal(torch.cat([part for _, part in parts]), labels)
