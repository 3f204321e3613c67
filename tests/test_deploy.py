"""The files of deploy/ are what their tools accept, as far as that can be seen without a cluster."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from ray.autoscaler._private.util import prepare_config, validate_config
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
RAY_VERSION = re.search(r"^ray==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)


@pytest.fixture(autouse=True)
def _from_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_ray_up_accepts_the_cluster_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # where the cluster's secret would be
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray/auth_token").write_text("secret")
    config = prepare_config(YAML(typ="safe", pure=True).load(DEPLOY / "ray-cluster.yaml"))
    validate_config(config)
    addresses = {config["provider"]["head_ip"], *config["provider"]["worker_ips"]}
    named = set(re.findall(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+", str(config["setup_commands"])))
    assert named <= addresses


def test_the_ray_job_runs_the_locked_version_and_reads_as_kubernetes_objects() -> None:
    documents = {
        document["kind"]: document for document in YAML(typ="safe", pure=True).load_all(DEPLOY / "rayjob.yaml")
    }
    assert set(documents) == {"PersistentVolumeClaim", "Service", "Deployment", "RayJob"}
    cluster = documents["RayJob"]["spec"]["rayClusterSpec"]
    assert RAY_VERSION is not None
    assert cluster["rayVersion"] == RAY_VERSION[1]
    volumes = {volume["name"] for volume in cluster["headGroupSpec"]["template"]["spec"]["volumes"]}
    (head,) = cluster["headGroupSpec"]["template"]["spec"]["containers"]
    assert {mount["name"] for mount in head["volumeMounts"]} == volumes
    server = documents["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert documents["Service"]["spec"]["selector"] == server


def test_the_slurm_script_is_valid_bash() -> None:
    subprocess.run(["bash", "-n", str(DEPLOY / "sweep.sbatch")], check=True)
