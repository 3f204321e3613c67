"""Exports of a cell, run by the programs that they are for."""

import importlib.util
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch

import resgrid.exchange.export
from resgrid.artifacts.cell_files import CellPaths
from resgrid.artifacts.run_record import RunRecord, record_path
from resgrid.cells import Cell
from resgrid.exchange.export import export_cell, open_trained
from resgrid.exchange.export_formats import Format
from resgrid.exchange.weights_file import read_weights_file
from support.prepared_data import HandMade, make_prepared_cell


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HandMade:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("RESGRID_STATE", raising=False)
    return make_prepared_cell()


def with_onnxruntime(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    return lambda images: np.asarray(session.run(None, {"images": images})[0])


def with_torchscript(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        script = torch.jit.load(path)
    return lambda images: script(torch.from_numpy(images)).numpy()


def with_torch_export(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    module = torch.export.load(path).module()
    return lambda images: module(torch.from_numpy(images)).detach().numpy()


@pytest.mark.parametrize(
    ("form", "file", "load"),
    [
        ("onnx", "resnet8-A-0.onnx", with_onnxruntime),
        ("torchscript", "resnet8-A-0.torchscript.pt", with_torchscript),
        ("torch-export", "resnet8-A-0.pt2", with_torch_export),
    ],
)
def test_pixels_in_logits_out_for_any_number_of_images(
    made: HandMade, form: Format, file: str, load: Callable[[Path], Callable[[np.ndarray], np.ndarray]]
) -> None:
    if form == "onnx":
        pytest.importorskip("onnxscript")
        pytest.importorskip("onnxruntime")
    export_cell(made.cell, form, "per_pixel_mean", "single", None)
    compute = load(Path("exports") / file)
    for count in (1, 3, 20):
        logits = compute(made.images[:count])
        np.testing.assert_allclose(logits, made.logits[:count], rtol=0, atol=1e-5 * np.abs(made.logits).max())
    assert [path.name for path in Path("exports").iterdir()] == [file]


def test_safetensors_contain_the_weights_and_describe_them(made: HandMade) -> None:
    export_cell(made.cell, "safetensors", "per_pixel_mean", "single", None)
    with (
        safetensors.safe_open("exports/resnet8-A-0.safetensors", "pt") as exported,
        safetensors.safe_open(CellPaths(made.cell).weights, "pt") as trained,
    ):
        assert set(exported.keys()) == set(trained.keys())
        assert all(torch.equal(exported.get_tensor(name), trained.get_tensor(name)) for name in trained.keys())  # noqa: SIM118
        header = exported.metadata()
    assert (header["network"], header["data"], header["shape"]) == ("resnet8-A", "Noise", "[3, 16, 16]")
    assert header["classes"] == '["cat", "dog", "emu", "fox"]'
    assert header["fingerprint"] == "f" * 64


def test_a_cell_of_images_in_files_is_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = make_prepared_cell("files")
    export_cell(made.cell, "torchscript", "per_pixel_mean", "single", None)
    logits = with_torchscript(Path("exports/resnet8-A-0.torchscript.pt"))(made.images)
    np.testing.assert_allclose(logits, made.logits, rtol=0, atol=1e-5 * np.abs(made.logits).max())


@pytest.mark.parametrize("key", ["normalization", "normalisation"])
def test_the_normalization_of_an_export_is_read_back(made: HandMade, key: str) -> None:
    export_cell(made.cell, "safetensors", "per_pixel_mean", "single", None)
    path = Path("exports/resnet8-A-0.safetensors")
    with safetensors.safe_open(path, "pt") as exported:
        header = {name.replace("normalization", key): text for name, text in exported.metadata().items()}
        tensors = {name: exported.get_tensor(name) for name in exported.keys()}  # noqa: SIM118
    safetensors.torch.save_file(tensors, path, header)
    normalization = read_weights_file(path).normalization
    assert normalization is not None
    assert np.array_equal(normalization.mean, made.mean)


@pytest.mark.filterwarnings("ignore::UserWarning:mlflow", "ignore::FutureWarning")
def test_an_mlflow_model_has_a_signature_and_a_version(made: HandMade, capsys: pytest.CaptureFixture[str]) -> None:
    import mlflow.pyfunc
    from mlflow import MlflowClient
    from mlflow.types import TensorSpec

    from resgrid.tracking import start_run
    from resgrid.tracking.store import experiment_id, tracking_uri

    with pytest.raises(ValueError, match="no MLflow run of this cell is recorded here; evaluate the cell again"):
        export_cell(made.cell, "mlflow", "per_pixel_mean", "single", None)
    run = start_run(made.cell.name, "Noise", None)
    run.finish()
    record = RunRecord(cell=made.cell.name, fingerprint="f" * 64, run_id=run.run_id, tracking_uri=run.tracking_uri)
    record.write(record_path(made.cell, record.fingerprint))
    capsys.readouterr()
    export_cell(made.cell, "mlflow", "per_pixel_mean", "single", "noise")
    printed = capsys.readouterr().err

    client = MlflowClient(tracking_uri())
    version = client.get_model_version("noise", "1")
    assert version.run_id == run.run_id
    assert run.run_id is not None
    assert client.get_run(run.run_id).info.status == "FINISHED"
    model = mlflow.pyfunc.load_model("models:/noise/1")
    signature = model.metadata.signature
    assert signature is not None
    assert signature.inputs.inputs == [TensorSpec(np.dtype("float32"), (-1, 3, 16, 16))]
    assert signature.outputs.inputs == [TensorSpec(np.dtype("float32"), (-1, 4))]
    pixels = made.images.astype(np.float32)
    np.testing.assert_allclose(model.predict(pixels), made.logits, rtol=0, atol=1e-5 * np.abs(made.logits).max())
    for wrong in (pixels / 255, pixels + 1, np.full_like(pixels, np.nan)):
        with pytest.raises(RuntimeError, match="images: not pixels; send whole numbers from 0 to 255"):
            model.predict(wrong)
    uri = f"models:/{client.search_logged_models(experiment_ids=[experiment_id(client, 'Noise')])[0].model_id}"
    assert f"MLFLOW_TRACKING_URI={tracking_uri()} {sys.prefix}/bin/mlflow models serve --env-manager local" in printed
    assert printed.endswith(f" --model-uri {uri}\n")


def test_an_export_that_computes_something_else_is_not_written(made: HandMade, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = open_trained(made.cell, "per_pixel_mean", "single")
    wrong = replace(trained, logits=trained.logits + np.float32(0.01) * np.abs(trained.logits).max())
    monkeypatch.setattr(resgrid.exchange.export, "open_trained", lambda *_: wrong)
    with pytest.raises(ValueError, match=r"exports/resnet8-A-0\.safetensors: not exported: for 20 test images"):
        export_cell(made.cell, "safetensors", "per_pixel_mean", "single", None)
    assert not Path("exports").exists()


def test_another_normalization_than_that_of_the_evaluation_is_noticed(made: HandMade) -> None:
    np.save(CellPaths(made.cell).logits, made.logits)
    export_cell(made.cell, "safetensors", "per_pixel_mean", "single", None)
    with pytest.raises(ValueError, match=r"augment\.normalize: channel give other logits than runs/resnet8-A-0/logits"):
        export_cell(made.cell, "safetensors", "channel", "single", None)
    # The logits of several views are no longer those of one view.
    export_cell(made.cell, "safetensors", "channel", "ten_crop", None)


def test_mistakes_are_named(made: HandMade, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ValueError, match="register: 'noise': only MLflow models can be registered; use --format mlflow"
    ):
        export_cell(made.cell, "onnx", "per_pixel_mean", "single", "noise")
    with pytest.raises(FileNotFoundError, match=r"runs/resnet8-A-1/metrics\.json: is missing"):
        export_cell(Cell("resnet8-A", 1), "torchscript", "per_pixel_mean", "single", None)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if "onnx" in name else find(name, *rest))
    with pytest.raises(
        ValueError, match=r"format: onnx: needs onnx, onnxscript, onnxruntime; run: python -m pip install"
    ):
        export_cell(made.cell, "onnx", "per_pixel_mean", "single", None)


def test_the_command_line_names_what_is_allowed(made: HandMade) -> None:
    root = Path(resgrid.exchange.export.__file__).parents[2]
    command = [sys.executable, "-m", "resgrid", "export", "resnet8", "--format", "safetensors"]
    environment = {"PYTHONPATH": f"{root}:{root / 'src'}"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        1,
        "error: 'resnet8': not a cell name; use <network>-<seed>, such as resnet20-A-0\n",
    )
