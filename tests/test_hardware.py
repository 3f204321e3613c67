"""What the machine is told to compute with."""

from __future__ import annotations

import subprocess
import sys


def test_deterministic_algorithms_cost_no_import_of_the_compiler() -> None:
    program = (
        "import sys, torch\n"
        "from resgrid.hardware import compute_exactly\n"
        "compute_exactly(threads=1)\n"
        "assert torch.get_num_threads() == 1\n"
        "assert not torch.backends.cudnn.allow_tf32\n"
        "assert torch.are_deterministic_algorithms_enabled()\n"
        "assert not torch.is_deterministic_algorithms_warn_only_enabled()\n"
        "assert 'torch._inductor' not in sys.modules\n"
        "compute_exactly(threads=1, deterministic=False)\n"
        "assert not torch.are_deterministic_algorithms_enabled()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
