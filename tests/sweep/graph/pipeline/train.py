"""Pipeline stage `train`: counts ten steps a second to train.max_steps and saves each; waits where a test holds it."""

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
signals: list[int] = []
hold = state / "hold" / cell
signal.signal(signal.SIGTERM, lambda number, _: signals.append(number))

params = YAML(typ="safe", pure=True).load(Path("params.yaml").read_text())
assert params["machine"]["checkpoint_every"] > 0  # read, but not declared
data = "".join(path.read_text() for path in sorted(Path("data/prepared/train").glob("*.txt")))
begin = int(saved.read_text()) if saved.exists() else 0
begins = [*(json.loads(record.read_text()) if record.exists() else []), begin]
record.write_text(json.dumps(begins))


def is_held(step: int) -> bool:
    """Whether a test makes this cell wait at this step."""
    try:
        return step >= int(hold.read_text())
    except FileNotFoundError:
        return False


for step in range(begin, params["train"]["max_steps"]):
    time.sleep(0.1)
    while is_held(step) and not signals:
        time.sleep(0.05)
    partial = saved.with_suffix(".partial")
    partial.write_text(str(step + 1))
    partial.replace(saved)
    if signals:
        time.sleep(0.5)  # as long as a checkpoint takes
        record.with_suffix(".stopped").touch()
        sys.exit(128 + signals[0])
shutil.rmtree(saved.parent)
Path("runs", cell).mkdir(parents=True, exist_ok=True)
Path("runs", cell, "weights.txt").write_text(f"{cell}\n{json.dumps(params['train'], sort_keys=True)}\n{data}")
Path("runs", cell, "metrics.json").write_text(json.dumps({"steps": params["train"]["max_steps"]}))
