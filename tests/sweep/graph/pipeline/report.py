"""Pipeline stage `report`: a file."""

from pathlib import Path

Path("report.txt").write_text("report\n")
