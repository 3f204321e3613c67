"""Stage `report`: says that there is one."""

from pathlib import Path

Path("report.txt").write_text("report\n")
