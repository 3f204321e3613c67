"""The packages that a sweep's supervisor imports before it forks a cell."""

from __future__ import annotations

import subprocess
import sys

from resgrid.sweep.jobs import WARM


def test_warm_imports_leave_the_gpu_to_the_forks() -> None:
    """After any call of CUDA, also one that finds no GPU, forks can't use CUDA."""
    program = (
        "import importlib, os, sys\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "import torch\n"
        "assert not torch.cuda.is_initialized()\n"
        "child = os.fork()\n"
        "if not child: os._exit(torch.cuda._is_in_bad_fork())\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    subprocess.run([sys.executable, "-c", program, *WARM], check=True)
