"""The deep-learning packages that are installed, and the CUDA each was built for. None of them is imported."""

import importlib.metadata
import re
from importlib.metadata import PackageNotFoundError
from pathlib import Path

from rooflight.core.types import Framework
from rooflight.hardware.limits import read

# A framework comes under several names: the first one that is installed counts.
DISTRIBUTIONS = {
    "torch": ("torch",),
    "torchvision": ("torchvision",),
    "tensorflow": ("tensorflow", "tensorflow-cpu", "tensorflow-macos", "tensorflow-rocm", "tf-nightly"),
    "keras": ("keras", "keras-nightly"),
    "jax": ("jax",),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml"),
    "openvino": ("openvino",),
}

# The file of each wheel that names its CUDA.
BUILD_FILES = {
    "torch": "torch/version.py",
    "torchvision": "torchvision/version.py",
    "tensorflow": "tensorflow/python/platform/build_info.py",
}


def detect_frameworks() -> tuple[Framework, ...]:
    """One entry per framework, those that are not installed included."""
    return tuple(_framework(name, candidates) for name, candidates in DISTRIBUTIONS.items())


def _framework(name: str, candidates: tuple[str, ...]) -> Framework:
    for candidate in candidates:
        try:
            distribution = importlib.metadata.distribution(candidate)
        except PackageNotFoundError:
            continue
        version = distribution.metadata["Version"]  # None in a damaged installation
        text = read(Path(str(distribution.locate_file(BUILD_FILES[name])))) if name in BUILD_FILES else ""
        cuda = built_for_cuda(text) or cuda_of_version(version or "") or (_jax_cuda() if name == "jax" else None)
        return Framework(name=name, version=version, cuda_version=cuda, rocm_version=rocm_of_version(version or ""))
    return Framework(name=name, version=None, cuda_version=None)


def built_for_cuda(text: str) -> str | None:
    """The CUDA version that a wheel's own file names.

    text    torch/version.py: `cuda: Optional[str] = '13.0'`; TensorFlow's build_info.py: `'cuda_version': '12.5.1'`;
            torchvision/version.py: `__version__ = '0.24.0+cu126'`
    """
    named = re.search(r"^cuda(?:: Optional\[str\])? = '([\d.]+)'", text, re.MULTILINE)
    named = named or re.search(r"'cuda_version'\s*[:,]\s*'([\d.]+)'", text)
    return named.group(1) if named else cuda_of_version(text)


def cuda_of_version(version: str) -> str | None:
    """`2.9.0+cu126` → "12.6"."""
    found = re.search(r"\+cu(\d+)(\d)\b", version)
    return f"{found.group(1)}.{found.group(2)}" if found else None


def rocm_of_version(version: str) -> str | None:
    """`2.9.0+rocm6.4` → "6.4"."""
    found = re.search(r"\+rocm(\d+(?:\.\d+)+)", version)
    return found.group(1) if found else None


def _jax_cuda() -> str | None:
    """JAX's CUDA comes as a plug-in that carries the major version in its name."""
    for major in ("13", "12"):
        try:
            importlib.metadata.version(f"jax-cuda{major}-plugin")
        except PackageNotFoundError:
            continue
        return major
    return None
