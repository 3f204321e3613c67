"""Precision and process-wide settings for the machine at hand."""

from __future__ import annotations

import subprocess
import sys
from typing import Literal

import pytest
import torch

from resgrid.hardware import choose_precision


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


@pytest.mark.parametrize(("amx", "expected"), [(True, "bf16"), (False, "32")])
def test_auto_is_bf16_on_a_cpu_with_amx_only(
    amx: bool, expected: Literal["32", "bf16"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)  # alone, bf16 is slower than fp32
    assert choose_precision("auto") == expected
    assert choose_precision("32") == "32"
    assert choose_precision("bf16") == "bf16"


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), "32"), ((8, 0), "bf16"), ((9, 0), "bf16")])
def test_auto_is_bf16_on_gpus_from_ampere_on(
    capability: tuple[int, int], expected: Literal["32", "bf16"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert choose_precision("auto") == expected
