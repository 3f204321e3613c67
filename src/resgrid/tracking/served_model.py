"""The model that MLflow's scoring server runs: from image files to class names with probabilities.

MLflow copies this file into the registered model, so serving needs no other code of resgrid.
"""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel
from PIL import Image


class ImageClassifier(PythonModel):
    """A classifier whose input has one column, `image`: PNG or other image files in Base64."""

    def load_context(self, context: Any) -> None:
        """Load the network, which contains the normalization, and the description of its images."""
        self._network = torch.export.load(context.artifacts["network"]).module()
        described = json.loads(Path(context.artifacts["description"]).read_text(encoding="utf-8"))
        self._classes, self._shape = described["classes"], tuple(described["shape"])

    # Without types, from which MLflow would derive another signature.
    def predict(self, context, model_input, params=None):  # noqa: ARG002  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return, for each image, the most probable class and the probability of each class.

        Raises:
            ValueError: an image has another size or type than the training images.
        """
        pixels = np.stack([self._pixels(text) for text in model_input["image"]])
        with torch.no_grad():
            probabilities = self._network(torch.from_numpy(pixels)).double().softmax(1).tolist()
        return [
            {"class": self._classes[int(np.argmax(row))], "probabilities": dict(zip(self._classes, row, strict=True))}
            for row in probabilities
        ]

    def _pixels(self, text: str) -> np.ndarray:
        """Decode an image to uint8 (C, H, W)."""
        channels, height, width = self._shape
        mode = "L" if channels == 1 else "RGB"
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True))) as image:
            if (image.mode, image.size) != (mode, (width, height)):
                found = f"{image.width}×{image.height}, mode {image.mode}"
                raise ValueError(f"image: {found}: not as the training images; send {width}×{height}, mode {mode}")
            array = np.asarray(image)
        return array.reshape(height, width, channels).transpose(2, 0, 1).copy()


set_model(ImageClassifier())
