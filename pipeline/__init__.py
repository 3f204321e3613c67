"""The pipeline: one thin file per stage, which runs with the code of its own tree.

`dvc exp run --temp` and git worktrees run copied trees, where an editable install would import the code of the tree
that it was installed from (https://github.com/treeverse/dvc/issues/10419).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
