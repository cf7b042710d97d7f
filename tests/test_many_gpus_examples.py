"""The examples for clusters: the shells parse, and the job has the fields that its API documents."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples/many_gpus"
# source  kubeflow/trainer, pkg/apis/trainer/v1alpha1: TrainJobSpec, RuntimeRef, Trainer, MLPolicy
TRAIN_JOB = {"runtimeRef", "initializer", "trainer", "runtimePatches", "suspend", "activeDeadlineSeconds", "managedBy"}
TRAINER = {"image", "command", "args", "env", "numNodes", "resourcesPerNode", "numProcPerNode"}
RUNTIME_REF = {"name", "apiGroup", "kind"}


@pytest.mark.parametrize("script", ["one_host.sh", "slurm.sbatch"])
def test_a_shell_script_parses(script: str) -> None:
    subprocess.run(["bash", "-n", EXAMPLES / script], check=True)


def documents() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    return {document["kind"]: document for document in yaml.safe_load_all((EXAMPLES / "trainjob.yaml").read_text())}


def test_the_job_has_the_fields_of_its_api() -> None:
    job = documents()["TrainJob"]
    assert job["apiVersion"] == "trainer.kubeflow.org/v1alpha1"
    assert set(job["spec"]) <= TRAIN_JOB
    assert set(job["spec"]["trainer"]) <= TRAINER
    assert set(job["spec"]["runtimeRef"]) <= RUNTIME_REF
    assert all(isinstance(word, str) for word in (*job["spec"]["trainer"]["command"], *job["spec"]["trainer"]["args"]))


def test_the_job_runs_in_its_runtime_on_as_many_nodes() -> None:
    found = documents()
    runtime, job = found["TrainingRuntime"], found["TrainJob"]["spec"]
    assert job["runtimeRef"]["name"] == runtime["metadata"]["name"]
    assert job["trainer"]["numNodes"] == runtime["spec"]["mlPolicy"]["numNodes"]
    (node,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    assert node["name"] == "node"
    assert node["template"]["metadata"]["labels"] == {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}
    pod = node["template"]["spec"]["template"]["spec"]
    mounted = {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}


@pytest.mark.parametrize("name", ["one_host.sh", "slurm.sbatch", "trainjob.yaml"])
def test_its_flags_are_flags_of_train(name: str) -> None:
    from dataclasses import fields

    from rooflight.core.training import TrainConfig

    text = (EXAMPLES / name).read_text()
    known = {f"--{field.name.replace('_', '-')}" for field in fields(TrainConfig)} | {"--out", "--resume"}
    words = text[text.index("rooflight\n      - train") if name.endswith("yaml") else text.index("set -euo") :]
    asked = {word.strip(',[]()"') for word in words.split() if word.strip(',[]()"').startswith("--")}
    torchrun = {"--standalone", "--nproc-per-node", "--nnodes", "--max-restarts"}
    torchrun |= {"--rdzv-backend", "--rdzv-id", "--rdzv-endpoint"}
    assert {"--batch", "--out"} <= asked
    assert asked - torchrun <= known
