"""Command: measure how many image files a second the decoding workers hand over, for each number of workers."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image

from resgrid.artifacts.data_card import PreparedPaths
from resgrid.config.augment import AugmentConfig, CropConfig
from resgrid.config.data import DataConfig, SplitConfig
from resgrid.terminal import console, run_command

IMAGES = 512
WIDTH, HEIGHT = 500, 375  # the commonest size in ImageNet, whose files have 110 kB on average
BATCH = 64


def decoding(
    workers: Annotated[list[int] | None, typer.Option(help="Numbers of workers; may be repeated.")] = None,
    batches: Annotated[int, typer.Option(help="Batches of 64 to time in each round.")] = 12,
    rounds: Annotated[int, typer.Option(help="Rounds, in turns over the numbers of workers.")] = 3,
) -> None:
    """Measure training batches of 224 pixels out of generated JPEGs of 500×375: by the paper's scale augmentation, and
    by RandomResizedCrop.

    Reading (from the system's cache), checking the SHA-256, decoding, cropping and handing over to the main process
    are in it; the start of the workers is not. Run it on a quiet machine: only the speed without workers is also given
    by processor time, which other work hardly changes.
    """
    counts = workers or [1, 2]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["RESGRID_STATE"] = f"{folder}/state"
        size = write_images(Path("images"))
        console.print(f"{IMAGES} JPEGs of {WIDTH}×{HEIGHT}, {size / 1000:.0f} kB on average; images/s")
        card = prepare_images()
        for name, crop in {
            "scale [256, 480]": CropConfig(shorter_side=[256, 480]),
            "area [0.08, 1]": CropConfig(area=[0.08, 1.0]),
        }.items():
            speeds: dict[str, list[float]] = {}
            for _ in range(rounds):
                by_processor = measure(card, crop, 0, batches, time.process_time)
                speeds.setdefault("no workers, by processor time", []).append(by_processor)
                for count in counts:
                    speeds.setdefault(f"{count} workers", []).append(measure(card, crop, count, batches))
            for label, values in speeds.items():
                spread = f"[{min(values):.0f}, {max(values):.0f}]"
                console.print(f"{name}, {label}: {statistics.median(values):.0f} {spread}", markup=False)
        os.chdir("/")


def write_images(folder: Path) -> float:
    """Smooth pictures with noise, whose files are as large as ImageNet's; their mean size in bytes is returned."""
    sizes: list[int] = []
    for number in range(IMAGES + 16):
        generator = np.random.default_rng(number)
        coarse = Image.fromarray(generator.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), dtype=np.float32)
        noisy = (smooth + generator.normal(0, 14, smooth.shape)).clip(0, 255).astype(np.uint8)
        content = BytesIO()
        Image.fromarray(noisy).save(content, "JPEG", quality=92)
        split = "train" if number < IMAGES else "val"
        path = folder / split / f"class{number % 4}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.getvalue())
        sizes.append(len(content.getvalue()))
    return statistics.fmean(sizes)


def prepare_images() -> Path:
    """Index and prepare them, as the pipeline does; the path of the card is returned."""
    from resgrid.data.fetching.fetch import fetch
    from resgrid.data.preparing.prepare import prepare

    data = DataConfig(name="imagefolder", source="images", storage="files", image_size=224, shorter_side=256)
    fetch(data)
    prepare(data, SplitConfig(val=8))
    return PreparedPaths().card


def measure(
    card: Path, crop: CropConfig, workers: int, batches: int, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Images per second of training batches."""
    from resgrid.artifacts.data_card import DatasetCard
    from resgrid.data.reading.images import load_images

    images = load_images(PreparedPaths(), "train", "channel", DatasetCard.read(card), workers)
    augment = AugmentConfig(normalize="channel", pad=0, flip=True, crop=crop, lighting=0.1)
    # The workers start, and what they have decoded ahead is used up.
    ahead = 1 + 4 * workers
    loader = images.training_loader(BATCH, 0, augment, ahead + batches, lambda: 0, 0, 1)
    times = [clock() for _ in loader]
    return BATCH * batches / (times[-1] - times[ahead - 1])


if __name__ == "__main__":
    run_command(decoding)
