"""Where and with what a measurement is taken: kept beside every figure."""

import importlib.metadata
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from pathlib import Path

from rooflight.core.types import Environment
from rooflight.hardware.detect import system_name

# Packages whose version can change a figure. Only those installed are listed.
PACKAGES = (
    "rooflight",
    "torch",
    "torchvision",
    "triton",
    "numpy",
    "nvidia-cudnn-cu12",
    "nvidia-cudnn-cu13",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "tensorrt",
    "tensorflow",
    "keras",
    "jax",
    "timm",
    "transformers",
)


def environment(device: str, *, threads: int, settings: tuple[str, ...] = ()) -> Environment:
    """The environment of a measurement that is taken now.

    device    as the measurement names it: a CPU's or a GPU's name
    threads   that the runtime computes with
    settings  what was set for the process, such as malloc thresholds
    """
    return Environment(
        device=device,
        system=system_name(),
        python=platform.python_version(),
        packages={name: version for name in PACKAGES if (version := _version(name))},
        threads=threads,
        settings=settings,
        commit=checkout_commit(Path(__file__).resolve().parents[3]),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def checkout_commit(root: Path) -> str | None:
    """The commit of a checkout of Rooflight, with "-dirty" if tracked files differ from it; None if it is not one.

    root    the folder that would hold pyproject.toml and .git. Another project's repository around it does not count.
    """
    try:
        if not (root / ".git").exists() or 'name = "rooflight"' not in (root / "pyproject.toml").read_text():
            return None
        answer = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=root,
            env={key: value for key, value in os.environ.items() if not key.startswith("GIT_")},
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):  # unreadable, no git, or one that hangs
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except PackageNotFoundError:
        return None
