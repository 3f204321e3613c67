"""The files of deploy/ are what their tools accept, as far as that can be seen without a cluster."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ray.autoscaler._private.util import prepare_config, validate_config
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
RAY_VERSION = re.search(r"^ray==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
SERVERS = ("ray-cluster.yaml", "rayjob.yaml", "sweep.sbatch")


@pytest.fixture(autouse=True)
def _from_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture
def kubernetes() -> dict[str, Any]:
    """The objects of the Ray job by kind and name. An anchor of YAML holds in its own document only."""
    texts = (DEPLOY / "rayjob.yaml").read_text(encoding="utf-8").split("\n---\n")
    documents = [YAML(typ="safe", pure=True).load(text) for text in texts]
    return {f"{document['kind']}/{document['metadata']['name']}": document for document in documents}


def test_ray_up_accepts_the_cluster_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # where the cluster's secrets would be
    (tmp_path / ".ray").mkdir()
    for secret in ("auth_token", "mlflow_password"):
        (tmp_path / ".ray" / secret).write_text("secret")
    config = prepare_config(YAML(typ="safe", pure=True).load(DEPLOY / "ray-cluster.yaml"))
    validate_config(config)
    addresses = {config["provider"]["head_ip"], *config["provider"]["worker_ips"]}
    commands = str(config["setup_commands"] + config["head_start_ray_commands"])
    assert set(re.findall(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+", commands)) <= addresses


def test_the_ray_job_runs_the_locked_version_and_reads_as_kubernetes_objects(kubernetes: dict[str, Any]) -> None:
    cluster = kubernetes["RayJob/resgrid-sweep"]["spec"]["rayClusterSpec"]
    assert RAY_VERSION is not None
    assert cluster["rayVersion"] == RAY_VERSION[1]
    volumes = {volume["name"] for volume in cluster["headGroupSpec"]["template"]["spec"]["volumes"]}
    (head,) = cluster["headGroupSpec"]["template"]["spec"]["containers"]
    assert {mount["name"] for mount in head["volumeMounts"]} == volumes


def test_pods_have_no_more_rights_than_they_need(kubernetes: dict[str, Any]) -> None:
    templates = pod_templates(kubernetes)
    assert len(templates) == 4
    for template in templates:
        pod = template["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = pod["containers"]
        rights = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        assert container["securityContext"] == rights


def test_network_policies_and_services_select_the_pods(kubernetes: dict[str, Any]) -> None:
    mlflow, *ray = [template["metadata"]["labels"] for template in pod_templates(kubernetes)]
    assert kubernetes["Service/resgrid-mlflow"]["spec"]["selector"] == mlflow
    policies = [kubernetes[f"NetworkPolicy/{name}"]["spec"] for name in ("resgrid-mlflow", "resgrid-ray")]
    assert [policy["podSelector"]["matchLabels"] for policy in policies] == [mlflow, ray[0]]
    assert all(labels == ray[0] for labels in ray)
    for policy in policies:
        assert policy["policyTypes"] == ["Ingress"]
        assert policy["ingress"][0]["from"] == [{"podSelector": {"matchLabels": ray[0]}}]


def pod_templates(kubernetes: dict[str, Any]) -> list[dict[str, Any]]:
    """That of the tracking server first, then those of Ray."""
    job = kubernetes["RayJob/resgrid-sweep"]["spec"]
    cluster = job["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    server = kubernetes["Deployment/resgrid-mlflow"]["spec"]["template"]
    return [server, job["submitterPodTemplate"], *(group["template"] for group in groups)]


@pytest.mark.parametrize("name", SERVERS)
def test_tracking_servers_ask_for_a_password_and_know_their_names(name: str) -> None:
    text = " ".join((DEPLOY / name).read_text(encoding="utf-8").replace(",", " ").split())
    assert "--app-name basic-auth" in text
    assert "MLFLOW_AUTH_ADMIN_PASSWORD" in text
    assert "MLFLOW_TRACKING_PASSWORD" in text
    assert re.search(r"--allowed-hosts \"?[^*]", text)


def test_the_image_s_user_has_a_number() -> None:
    assert re.findall(r"^USER (.*)", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE) == ["1000"]


def test_the_slurm_script_is_valid_bash() -> None:
    subprocess.run(["bash", "-n", str(DEPLOY / "sweep.sbatch")], check=True)
