"""Pipeline stage `preprocess`: a data card and two files of data."""

from pathlib import Path

CARD = """{"name": "digits", "label": "Counting", "note": "", "shape": [1, 8, 8], "classes": ["0"],
"counts": {"train": 2}, "channel_mean": [0.0], "channel_std": [1.0], "sha256": {}}"""

folder = Path("data/prepared/train")
folder.mkdir(parents=True)
Path("data/prepared/card.json").write_text(CARD)
(folder / "first.txt").write_text("first\n")
(folder / "second.txt").write_text("second\n")
