"""Packages asked in processes of their own: fakes that answer, crash, hang and babble, and those installed here."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rooflight.core.types import Framework
from rooflight.hardware import probe as probe_module
from rooflight.hardware.frameworks import detect_frameworks
from rooflight.hardware.probe import probe
from rooflight.hardware.probed import PROBES

ANSWERS = """
import sys, os, types
print("a banner on stdout"); print("a warning on stderr", file=sys.stderr); os.write(1, b"and one from C\\n")
__version__ = "0.10.2"
class Device:
    platform, device_kind = "gpu", "NVIDIA L4"
class Cpu:
    platform, device_kind = "cpu", "cpu"
def devices(): return [Device(), Device(), Cpu()]
config = types.SimpleNamespace(jax_default_matmul_precision=None)
"""
VERSIONS = """
class cuda_versions:
    cuda_runtime_get_version = staticmethod(lambda: 12090)
    cudnn_get_version = staticmethod(lambda: 91900)
"""


def framework(name: str, version: str | None = "1.0") -> Framework:
    return Framework(name=name, version=version, cuda_version=None)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the probes import from first."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def ask(name: str, seconds: float = 30.0) -> Framework:
    (answer,) = probe([framework(name)], seconds=seconds)
    return answer


def test_an_answer_is_kept_and_the_chatter_is_not(packages: Path) -> None:
    lib = packages / "jax/_src/lib"
    lib.mkdir(parents=True)
    (packages / "jax/__init__.py").write_text(ANSWERS)
    (packages / "jax/_src/__init__.py").touch()
    (lib / "__init__.py").write_text(VERSIONS)
    assert ask("jax") == Framework(
        name="jax",
        version="0.10.2",
        cuda_version="12.9",
        cudnn_version="9.19.0",
        devices=("NVIDIA L4", "NVIDIA L4"),
        tf32=True,
    )


@pytest.mark.parametrize("devices", ["[float('nan')]", "[None]", "7"])
def test_an_answer_of_the_wrong_type_is_no_answer(packages: Path, devices: str) -> None:
    (packages / "keras.py").write_text(
        "__version__ = '3.11'\n"
        "class config:\n    backend = staticmethod(lambda: 'torch')\n"
        f"class distribution:\n    list_devices = staticmethod(lambda: {devices})\n"
    )
    answer = ask("keras")
    assert answer.devices is None
    assert answer.error


@pytest.mark.parametrize("answer", [{"devices": [float("nan")]}, {"colour": "red"}, {"tf32": "yes"}, {"version": 3}])
def test_an_answer_that_is_no_framework_could_not_be_read(answer: dict[str, object]) -> None:
    joined = probe_module._joined(framework("torch"), answer)
    assert joined == Framework(name="torch", version="1.0", cuda_version=None, error="its answer could not be read")


def test_what_one_call_cannot_tell_does_not_hide_the_rest(packages: Path) -> None:
    (packages / "keras.py").write_text(
        "__version__ = '3.11'\n"
        "class config:\n    backend = staticmethod(lambda: 'torch')\n"
        "class distribution:\n    @staticmethod\n    def list_devices(): raise RuntimeError('no driver')\n"
    )
    answer = ask("keras")
    assert (answer.version, answer.backend, answer.devices) == ("3.11", "torch", None)
    assert answer.error == "devices: RuntimeError: no driver"


@pytest.mark.parametrize(
    ("program", "error"),
    [
        (
            "raise ImportError('libcudart.so.13: cannot open')",
            "ended with code 1: ImportError: libcudart.so.13: cannot open",
        ),
        ("import os; os._exit(7)", "ended with code 7: it said nothing"),
        ("raise SystemExit('go away')", "ended with code 1: go away"),
        ("import os, sys; sys.stdout.flush(); os._exit(0)", "its answer could not be read"),
        ("__version__ = '1'", "AttributeError"),
    ],
)
def test_a_failure_is_an_error_of_that_package(packages: Path, program: str, error: str) -> None:
    (packages / "openvino.py").write_text(program + "\n")
    answer = ask("openvino")
    assert (answer.version, answer.devices) == ("1.0", None)  # what the metadata said stays
    assert answer.error is not None
    assert error in answer.error


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_crash_names_its_signal(packages: Path) -> None:
    (packages / "torch.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)\n")
    error = ask("torch").error
    assert error is not None
    assert error.startswith("killed by SIGSEGV")


@pytest.mark.skipif(os.name == "nt", reason="process groups")
def test_a_hang_ends_with_all_that_it_started(packages: Path) -> None:
    (packages / "tensorflow.py").write_text(
        "import subprocess, sys, signal, pathlib, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"pathlib.Path({str(packages / 'child')!r}).write_text(str(child.pid))\n"
        "time.sleep(600)\n"
    )
    start = time.monotonic()
    answer = ask("tensorflow", seconds=3)
    assert time.monotonic() - start < 10
    assert answer.error == "did not answer within 3 s and was stopped"
    child = int((packages / "child").read_text())
    for _ in range(50):
        if not _runs(child):
            return
        time.sleep(0.1)
    pytest.fail("what the probe started still runs")


def _runs(pid: int) -> bool:
    """A killed orphan stays a zombie until init reaps it."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_all_are_asked_at_once_and_one_failure_is_one_failure(packages: Path) -> None:
    (packages / "jax.py").write_text("import time; time.sleep(600)\n")
    (packages / "openvino.py").write_text("import time; time.sleep(600)\n")
    (packages / "onnxruntime.py").write_text(
        "__version__ = '1.22'\n"
        "def get_available_providers():\n"
        "    return ['CUDAExecutionProvider', 'AzureExecutionProvider', 'CPUExecutionProvider']\n"
    )
    said: list[str] = []
    start = time.monotonic()
    names = ("torchvision", "jax", "openvino", "onnxruntime")
    answers = probe([*map(framework, names), framework("keras", None)], seconds=4, say=said.append)
    assert time.monotonic() - start < 8  # not four seconds each
    assert [each.name for each in answers] == [*names, "keras"]
    vision, jax, openvino, onnx, keras = answers
    assert vision == framework("torchvision")  # nothing to ask
    assert keras == framework("keras", None)  # not installed
    assert jax.error == openvino.error == "did not answer within 4 s and was stopped"
    assert (onnx.version, onnx.devices, onnx.error) == ("1.22", ("CUDAExecutionProvider",), None)
    assert said == ["asking jax, openvino, onnxruntime: each is imported once, in a process of its own"]


def test_a_folder_of_that_name_here_is_not_the_package(
    packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (packages / "openvino.py").write_text("__version__ = 'right'\nclass Core:\n    available_devices = ('CPU',)\n")
    here = tmp_path / "here"
    here.mkdir()
    (here / "openvino.py").write_text("__version__ = 'wrong'\n")
    monkeypatch.chdir(here)
    assert ask("openvino").version == "right"
    # Nor do the files beside the program that imports it stand in for packages of their names.
    (packages / "openvino.py").write_text("import apple\n")
    assert "No module named 'apple'" in (ask("openvino").error or "")


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_stopping_leaves_no_process_behind(packages: Path) -> None:
    (packages / "jax.py").write_text(
        "import os, pathlib, time\n"
        f"pathlib.Path({str(packages / 'pid')!r}).write_text(str(os.getpid()))\n"
        "time.sleep(600)\n"
    )
    program = (
        "from rooflight.hardware.probe import probe; from rooflight.core.types import Framework;"
        "probe([Framework(name='jax', version='1', cuda_version=None)], seconds=600)"
    )
    path = os.pathsep.join([str(packages), *filter(None, sys.path)])
    parent = subprocess.Popen(
        [sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": path}, stderr=subprocess.PIPE
    )
    for _ in range(100):
        if (packages / "pid").exists() and (packages / "pid").read_text():
            break
        time.sleep(0.1)
    parent.send_signal(signal.SIGINT)
    parent.communicate(timeout=20)
    child = int((packages / "pid").read_text())
    assert not _runs(child)


def test_the_environment_keeps_gpu_memory_free(packages: Path) -> None:
    (packages / "openvino.py").write_text(
        "from os import environ\n"
        "__version__ = environ['XLA_PYTHON_CLIENT_PREALLOCATE'] + environ['TF_FORCE_GPU_ALLOW_GROWTH']\n"
        "class Core:\n    available_devices = ()\n"
    )
    assert ask("openvino").version == "falsetrue"


def test_the_installed_packages() -> None:
    """For real: whatever of them is installed here, asked together."""
    torch = pytest.importorskip("torch")
    before = detect_frameworks()
    after = {each.name: each for each in probe(before, seconds=120)}
    for each in before:
        if each.version and each.name in PROBES:
            assert after[each.name].error is None, after[each.name]
            assert after[each.name].devices is not None
    found = after["torch"]
    assert found.version == torch.__version__
    assert found.cuda_version == torch.version.cuda
    assert list(found.targets) == (torch._C._cuda_getArchFlags() or "").split()
    assert found.tf32 is (False if torch.version.cuda else None)
    assert len(found.devices or ()) == torch.cuda.device_count()


def test_every_probe_is_of_a_known_framework() -> None:
    assert set(PROBES) <= {each.name for each in detect_frameworks()}
    assert probe_module.PROGRAM.is_file()
