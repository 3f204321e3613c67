"""GPUs for machines without one: fake CUDA tensors, which have a device, a shape and strides, but no values.

Operations on them check devices as on a GPU, and compute nothing. Backward passes need a GPU: each weight gets a
gradient of its own layout instead.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

GPU = torch.device("cuda", 0)

_aten = torch.ops.aten


class Watch(TorchDispatchMode):
    """Notes each copy to the GPU, and each operation that makes the host wait for the GPU.

    Attributes:
        to_gpu: the line of the project's code, or of Lightning's, that made each copy.
        waits: the line that made the host wait.
    """

    def __init__(self) -> None:
        super().__init__()
        self.to_gpu: list[str] = []
        self.waits: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in (_aten.item.default, _aten._local_scalar_dense.default) and args[0].is_cuda:
            self.waits.append(_caller())
            return 1.0
        result = func(*args, **(kwargs or {}))
        if isinstance(result, FakeTensor):
            result.constant = None  # of `torch.tensor(0)`, for example: torch would compute with it on a real GPU
        if func in (_aten._to_copy.default, _aten.copy_.default):
            source, target = args[0] if func is _aten._to_copy.default else args[1], result
            if target.is_cuda and not source.is_cuda:
                self.to_gpu.append(_caller())
            elif source.is_cuda and not target.is_cuda:
                self.waits.append(_caller())
        return result

    def forget(self) -> None:
        self.to_gpu.clear()
        self.waits.clear()


@contextmanager
def fake_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """Have torch and Lightning find one GPU, and make all new tensors fake while the block lasts."""
    torch._C._ensureCUDADeviceGuardSet()
    answers = {
        "is_available": True,
        "is_initialized": False,
        "device_count": 1,
        "current_device": 0,
        "get_device_capability": (9, 0),
        "get_device_name": "Fake GPU",
        "is_bf16_supported": True,
        "mem_get_info": (10**10, 10**10),
        "set_device": None,
        "empty_cache": None,
        "synchronize": None,
        "manual_seed_all": None,
        "_is_in_bad_fork": False,
    }
    for name, answer in answers.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, answer=answer, **__: answer)
    monkeypatch.setattr(torch.cuda, "default_generators", (torch.Generator(),))
    monkeypatch.setattr(torch._C, "_cuda_clearCublasWorkspaces", lambda: None, raising=False)
    monkeypatch.setattr(nn.Module, "_apply", _apply)
    for loop in ("fit_loop", "evaluation_loop"):
        monkeypatch.setattr(f"pytorch_lightning.loops.{loop}.has_len_all_ranks", lambda *_: True)
    with FakeTensorMode(), Watch() as watch:
        yield watch


def without_backward(monkeypatch: pytest.MonkeyPatch, module: pl.LightningModule) -> None:
    """Give each weight of a module a gradient of the weight's layout in place of a backward pass."""

    def backward(loss: Tensor, *_: Any, **__: Any) -> None:
        assert loss.requires_grad
        assert loss.is_cuda
        for weight in module.parameters():
            weight.grad = torch.empty_like(weight)

    monkeypatch.setattr(Tensor, "backward", backward)


def _apply(module: nn.Module, function: Any, recurse: bool = True) -> nn.Module:
    """Do what `Module._apply` does, with new parameters: a fake parameter can't change its device."""
    for child in module.children():
        child._apply(function)
    for name, weight in module._parameters.items():
        if weight is not None and (moved := function(weight.detach())) is not weight:
            module._parameters[name] = nn.Parameter(moved, weight.requires_grad)
    for name, buffer in module._buffers.items():
        if buffer is not None:
            module._buffers[name] = function(buffer)
    return module


def _caller() -> str:
    """Return the innermost line of resgrid or Lightning, or an empty text."""
    for frame in reversed(traceback.extract_stack()):
        path = Path(frame.filename)
        if {"resgrid", "pytorch_lightning"} & set(path.parts):
            return f"{path.name}:{frame.lineno}"
    return ""


def without_autograd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer `torch.autograd.grad` with a gradient of the input's layout."""
    monkeypatch.setattr(torch.autograd, "grad", lambda _output, source: (torch.empty_like(source),))
