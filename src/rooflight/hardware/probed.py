"""What a deep-learning package says of itself. Run as a program, in a process of its own: it imports the package.

    python probed.py torch

Prints one JSON object with fields of `Framework`. The package may print what it likes: that goes to stderr.
"""

import importlib
import json
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

Answer = dict[str, Any]


class Said:
    """Collects answers, each asked on its own: what one call cannot tell does not hide the others."""

    def __init__(self) -> None:
        self.answer: Answer = {}

    def ask(self, name: str, call: Callable[[], Any]) -> None:
        """Keep the answer; keep the first failure as the error."""
        try:
            self.answer[name] = call()
        except Exception as error:
            self.answer.setdefault("error", f"{name}: {type(error).__name__}: {error}".rstrip(": "))


def probe_torch(torch: Any) -> Answer:
    """PyTorch, for CUDA, ROCm, Intel and Apple GPUs."""
    said = Said()
    said.ask("cuda_version", lambda: torch.version.cuda)
    said.ask("rocm_version", lambda: torch.version.hip and ".".join(torch.version.hip.split(".")[:2]))
    said.ask("cudnn_version", lambda: _cudnn(torch.backends.cudnn.version()) if torch.version.cuda else None)
    # get_arch_list() is empty where no GPU is seen, though the kernels are there.
    said.ask("targets", lambda: (torch._C._cuda_getArchFlags() or "").split() if _compiled(torch) else [])
    said.ask("devices", lambda: _torch_devices(torch))
    said.ask("tf32", lambda: torch.get_float32_matmul_precision() != "highest" if torch.version.cuda else None)
    return said.answer


def probe_tensorflow(tensorflow: Any) -> Answer:
    """TensorFlow."""
    said, build = Said(), {}
    said.ask("build", lambda: build.update(tensorflow.sysconfig.get_build_info()))
    said.answer.pop("build", None)
    said.ask("cuda_version", lambda: build.get("cuda_version"))
    said.ask("rocm_version", lambda: build.get("rocm_version"))
    said.ask("cudnn_version", lambda: build.get("cudnn_version"))
    said.ask("targets", lambda: list(build.get("cuda_compute_capabilities", ())))
    said.ask(
        "devices",
        lambda: [_tensorflow_device(tensorflow, each) for each in tensorflow.config.list_physical_devices("GPU")],
    )
    enabled = tensorflow.config.experimental.tensor_float_32_execution_enabled
    said.ask("tf32", lambda: bool(enabled()) if build.get("cuda_version") else None)
    return said.answer


def probe_keras(keras: Any) -> Answer:
    """Keras 3, with the framework under it; importing it has imported that one."""
    said = Said()
    said.ask("backend", lambda: keras.config.backend())
    said.ask(
        "devices", lambda: [name for name in keras.distribution.list_devices() if not name.lower().startswith("cpu")]
    )
    return said.answer


def probe_jax(jax: Any) -> Answer:
    """JAX. Its CUDA and cuDNN come in a plug-in; the versions are those that it has loaded."""
    said = Said()
    said.ask("devices", lambda: [device.device_kind for device in jax.devices() if device.platform != "cpu"])
    if said.answer.get("devices"):
        versions = importlib.import_module("jax._src.lib").cuda_versions
        if versions is not None:
            said.ask("cuda_version", lambda: _cuda(versions.cuda_runtime_get_version()))
            said.ask("cudnn_version", lambda: _cudnn(versions.cudnn_get_version()))
            said.ask(
                "tf32", lambda: jax.config.jax_default_matmul_precision in (None, "tensorfloat32", "high", "default")
            )
    return said.answer


def probe_onnxruntime(onnxruntime: Any) -> Answer:
    """ONNX Runtime: the execution providers besides the CPU's."""
    said = Said()
    ignored = ("CPUExecutionProvider", "AzureExecutionProvider")  # Azure's calls a server
    said.ask("devices", lambda: [name for name in onnxruntime.get_available_providers() if name not in ignored])
    return said.answer


def probe_openvino(openvino: Any) -> Answer:
    """OpenVINO: Intel's GPUs and NPUs."""
    said = Said()
    core = openvino.Core()
    said.ask(
        "devices",
        lambda: [
            f"{name}: {core.get_property(name, 'FULL_DEVICE_NAME')}" for name in core.available_devices if name != "CPU"
        ],
    )
    return said.answer


PROBES: dict[str, Callable[[Any], Answer]] = {
    "torch": probe_torch,
    "tensorflow": probe_tensorflow,
    "keras": probe_keras,
    "jax": probe_jax,
    "onnxruntime": probe_onnxruntime,
    "openvino": probe_openvino,
}


def main() -> None:
    """Probe the package that the first argument names."""
    answer_to = os.dup(1)
    os.dup2(2, 1)  # what the package or its libraries print must not end up in the answer
    warnings.simplefilter("ignore")
    name = sys.argv[1]
    module = importlib.import_module(name)
    answer = {"version": str(module.__version__)} | PROBES[name](module)
    with os.fdopen(answer_to, "w", encoding="utf-8") as stream:
        json.dump(answer, stream)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # some libraries hang or crash as they unload; nothing is left to do


def _compiled(torch: Any) -> bool:
    return torch.version.cuda is not None or torch.version.hip is not None


def _torch_devices(torch: Any) -> list[str]:
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    if hasattr(torch, "xpu") and torch.xpu.is_available():
        names += [torch.xpu.get_device_name(index) for index in range(torch.xpu.device_count())]
    return names + (["mps"] if torch.backends.mps.is_available() else [])


def _tensorflow_device(tensorflow: Any, device: Any) -> str:
    return str(tensorflow.config.experimental.get_device_details(device).get("device_name", device.name))


def _cudnn(number: int | None) -> str | None:
    """`91900` → "9.19.0"; before cuDNN 9 the major version counted thousands: `8907` → "8.9.7"."""
    if not number:
        return None
    major = 10000 if number >= 90000 else 1000
    return f"{number // major}.{number % major // 100}.{number % 100}"


def _cuda(number: int) -> str:
    """`12090` → "12.9"."""
    return f"{number // 1000}.{number % 1000 // 10}"


if __name__ == "__main__":
    main()
