"""The pipeline: one thin file per stage, which runs with the code of its own tree.

`dvc exp run --temp` and git worktrees run copied trees, where an editable install would import the code of the tree
that it was installed from (https://github.com/treeverse/dvc/issues/10419). DVC deletes its copies after the experiment:
their run records, checkpoints and runs in MLflow belong to the repository, which DVC names in DVC_ROOT.
"""

import os
import sys
from pathlib import Path

_TREE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_TREE / "src"))

_repository = Path(os.environ.get("DVC_ROOT", _TREE)).resolve()
if _TREE.is_relative_to(_repository / ".dvc/tmp"):
    os.environ.setdefault("RESGRID_STATE", str(_repository / ".resgrid"))
    os.environ.setdefault("RESGRID_TRACKING", str(_repository / "mlruns"))
