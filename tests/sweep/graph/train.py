"""Stage `train`: counts to train.max_steps, ten a second (a residual one after each PAUSE), and saves each step."""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

from ruamel.yaml import YAML

cell = sys.argv[1]
state = Path(os.environ.get("RESGRID_STATE", ".resgrid"))
saved = state / "checkpoints" / f"{cell}-0" / "step"
record = state / "records" / f"{cell}-0.json"
saved.parent.mkdir(parents=True, exist_ok=True)
record.parent.mkdir(parents=True, exist_ok=True)
told: list[int] = []
pause = float(os.environ.get("PAUSE", "0.1")) if cell.startswith("resnet") else 0.1
signal.signal(signal.SIGTERM, lambda number, _: told.append(number))

params = YAML(typ="safe", pure=True).load(Path("params.yaml").read_text())
data = "".join(path.read_text() for path in sorted(Path("data/prepared/train").glob("*.txt")))
begin = int(saved.read_text()) if saved.exists() else 0
begins = [*(json.loads(record.read_text()) if record.exists() else []), begin]
record.write_text(json.dumps(begins))
for step in range(begin, params["train"]["max_steps"]):
    time.sleep(pause)
    partial = saved.with_suffix(".partial")
    partial.write_text(str(step + 1))
    partial.replace(saved)
    if told:
        sys.exit(128 + told[0])
shutil.rmtree(saved.parent)
Path("runs", cell).mkdir(parents=True, exist_ok=True)
Path("runs", cell, "weights.txt").write_text(f"{cell}\n{json.dumps(params['train'], sort_keys=True)}\n{data}")
Path("runs", cell, "metrics.json").write_text(json.dumps({"steps": params["train"]["max_steps"]}))
