"""The whole machine, its frameworks and the environment of a measurement."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from rooflight.core.codec import to_json
from rooflight.hardware import frameworks
from rooflight.hardware.detect import detect, system_name
from rooflight.hardware.environment import checkout_commit, environment
from tests.hardware import answers


def test_this_machine_as_json() -> None:
    machine = detect()
    plain = json.loads(to_json(machine))
    assert plain["cpu"]["model"] == machine.cpu.model
    assert plain["frameworks"][0]["version"] == machine.frameworks[0].version
    assert machine.python == ".".join(map(str, sys.version_info[:3]))
    assert [each.name for each in machine.frameworks] == list(frameworks.DISTRIBUTIONS)


@pytest.mark.skipif(sys.platform != "linux", reason="hides /proc")
def test_a_machine_that_answers_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "pynvml", None)  # importing it fails
    machine = detect(tmp_path)
    assert machine.gpus == ()
    assert machine.notes == ()
    assert machine.cpu.memory_bytes > 0


def test_no_framework_is_imported() -> None:
    program = (
        "import sys; from rooflight.hardware.detect import detect;"
        "from rooflight.hardware.environment import environment;"
        "detect(); environment('cpu', threads=1);"
        "print(sorted({'torch', 'numpy', 'tensorflow', 'jax', 'keras', 'onnxruntime'} & set(sys.modules)))"
    )
    path = os.pathsep.join(filter(None, sys.path))
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}
    )
    assert (answer.stdout.strip(), answer.stderr) == ("[]", "")


@pytest.mark.parametrize(
    ("text", "cuda"),
    [
        (answers.TORCH_CUDA, "13.0"),
        (answers.TORCH_CPU, None),
        (answers.TORCH_ROCM, None),
        (answers.TORCHVISION, "12.6"),
        (answers.TENSORFLOW, "12.5.1"),
        ("", None),
    ],
)
def test_the_cuda_a_wheel_was_built_for(text: str, cuda: str | None) -> None:
    assert frameworks.built_for_cuda(text) == cuda


def test_the_installed_torch_is_read_as_it_imports() -> None:
    torch = pytest.importorskip("torch")
    found = next(each for each in frameworks.detect_frameworks() if each.name == "torch")
    assert torch.__version__.startswith(str(found.version).partition("+")[0])
    assert found.cuda_version == torch.version.cuda


def test_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frameworks, "DISTRIBUTIONS", {"jax": ("rooflight-no-such-package",)})
    (absent,) = frameworks.detect_frameworks()
    assert (absent.name, absent.version, absent.cuda_version) == ("jax", None, None)


def test_environment() -> None:
    here = environment("AMD EPYC", threads=2, settings=("MALLOC_ARENA_MAX=2",))
    assert (here.device, here.threads, here.settings) == ("AMD EPYC", 2, ("MALLOC_ARENA_MAX=2",))
    assert here.system == system_name()
    assert "numpy" in here.packages
    assert None not in here.packages.values()
    assert abs((datetime.now(UTC) - datetime.fromisoformat(here.date)).total_seconds()) < 3600
    assert json.loads(to_json(here))["packages"] == here.packages


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit of a project called rooflight."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "rooflight"\n')
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "Begin", "--no-verify"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def test_the_commit_of_a_checkout(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, text=True).stdout.strip()
    monkeypatch.setenv("GIT_DIR", "/nowhere")  # as inside a hook of another repository
    assert checkout_commit(checkout) == head
    (checkout / "pyproject.toml").write_text('[project]\nname = "rooflight"\nversion = "1"\n')
    assert checkout_commit(checkout) == f"{head}-dirty"


def test_no_commit_where_there_is_no_checkout_of_rooflight(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = checkout / "lib"  # as site-packages within another project's repository
    inside.mkdir()
    assert checkout_commit(inside) is None
    monkeypatch.setenv("PATH", "")
    assert checkout_commit(checkout) is None  # git is not installed
    (checkout / "pyproject.toml").write_text('[project]\nname = "other"\n')
    monkeypatch.undo()
    assert checkout_commit(checkout) is None
