"""Advice about drivers and packages: do the builds that are installed fit the GPUs that are there?"""

from collections.abc import Iterator

from rooflight.core.types import Advice, Framework, Gpu, Machine
from rooflight.hardware.kernels import has_kernels
from rooflight.hardware.surroundings import Surroundings

WHEELS = "https://download.pytorch.org/whl/"

# Maxwell, Pascal and Volta have kernels in PyTorch's wheels for CUDA 12.6 alone, and those end with 2.14.
# Source: PyTorch, RELEASE.md, "PyTorch CUDA Support Matrix", and issue 190385 for 2.15.
OLD_GPUS, OLD_GPU_WHEELS = ((5, 0), (7, 0)), f'"torch<2.15" torchvision --index-url {WHEELS}cu126'
BLACKWELL, BLACKWELL_WHEELS = ((10, 0), (12, 9)), f"torch torchvision --index-url {WHEELS}cu130"

# Oldest driver for each major version of CUDA. Source: NVIDIA, CUDA Compatibility, "Minor Version Compatibility".
OLDEST_DRIVER = {"11": "450", "12": "525", "13": "580"}

# Variables that slow things down or make them wrong while they are set.
HARMFUL = {
    "CUDA_LAUNCH_BLOCKING": "makes the host wait for every kernel, which is for finding bugs",
    "HSA_OVERRIDE_GFX_VERSION": "makes ROCm take the GPU for another one, which may compute wrongly",
}


def package_advice(machine: Machine, around: Surroundings) -> Iterator[Advice]:
    """PyTorch missing, a package that fails, a driver too old for it, a CPU build, harmful variables."""
    torch = installed(machine, "torch")
    if torch is None:
        problem = "PyTorch is not installed: everything but info and the catalogue needs it."
        yield Advice(about="torch", problem=problem, action="pip install torch torchvision")
    for framework in machine.frameworks:
        if framework.error:
            yield _failed(framework)
        yield from _driver(machine, framework) if _too_old(machine, framework) else _blind(machine, framework, around)
    if torch is not None:
        yield from _unused_gpu(machine, torch)
    for variable, why in HARMFUL.items():
        value = around.variables.get(variable, "")
        if value not in ("", "0"):
            yield Advice(about=variable, problem=f"{variable}={value} {why}.", action=f"Unset {variable}.")


def kernel_advice(machine: Machine, gpu: Gpu) -> Iterator[Advice]:
    """Packages whose build has no kernels for this GPU."""
    for framework in machine.frameworks:
        if has_kernels(framework.targets, gpu.target) is not False or not _same_platform(framework, gpu):
            continue
        yield Advice(
            about=f"GPU {gpu.index}",
            problem=f"{framework.name} {framework.version} has no kernels for {gpu.name} ({gpu.target}), only for "
            f"{', '.join(framework.targets)}. It may see the GPU, but operations on it fail.",
            action=_other_build(framework, gpu),
        )


def installed(machine: Machine, name: str) -> Framework | None:
    """The framework of that name, if it is installed."""
    return next((each for each in machine.frameworks if each.name == name and each.version), None)


def between(capability: str | None, first: tuple[int, int], last: tuple[int, int]) -> bool:
    """Whether a compute capability such as "8.6" lies between two others, both included."""
    major, _, minor = (capability or "").partition(".")
    return major.isdecimal() and minor.isdecimal() and first <= (int(major), int(minor)) <= last


def _failed(framework: Framework) -> Advice:
    return Advice(
        about=framework.name,
        problem=f"{framework.name} {framework.version} could not be asked: {framework.error}.",
        action=f'See what python -c "import {framework.name}" says; reinstall it if need be.',
    )


def _too_old(machine: Machine, framework: Framework) -> bool:
    """Programs for one major version of CUDA run on drivers of that version or a newer one."""
    wheel, driver = framework.cuda_version, machine.cuda_driver_version
    return bool(wheel and driver and _major(driver) < _major(wheel))


def _driver(machine: Machine, framework: Framework) -> Iterator[Advice]:
    wheel, driver = framework.cuda_version or "", machine.cuda_driver_version or ""
    version = next((gpu.driver_version for gpu in machine.gpus if gpu.vendor == "nvidia"), None)
    needed = OLDEST_DRIVER.get(str(_major(wheel)))
    driver_wanted = f"driver {needed} or newer" if needed else "a newer driver"
    yield Advice(
        about=framework.name,
        problem=f"{framework.name} {framework.version} is built for CUDA {wheel}, but driver {version or 'here'} goes "
        f"up to CUDA {driver}: it will not see the GPU.",
        action=f"Install {driver_wanted}, or a build of {framework.name} for CUDA {_major(driver)}.",
    )


def _blind(machine: Machine, framework: Framework, around: Surroundings) -> Iterator[Advice]:
    """A build for CUDA that was asked and sees none of the GPUs that the driver lists, though nothing hides them."""
    gpus = [gpu for gpu in machine.gpus if gpu.vendor == "nvidia"]
    if framework.cuda_version and framework.devices == () and gpus and "CUDA_VISIBLE_DEVICES" not in around.variables:
        yield Advice(
            about=framework.name,
            problem=f"{framework.name} {framework.version} is built for CUDA {framework.cuda_version} but sees none of "
            f"the {len(gpus)} GPU{'s' if len(gpus) > 1 else ''} that the driver lists.",
            action="See whether nvidia-smi works, whether its CUDA libraries are installed, and whether this user may "
            "open /dev/nvidia-uvm; a container needs --gpus all.",
        )


def _unused_gpu(machine: Machine, torch: Framework) -> Iterator[Advice]:
    """A build of PyTorch that is not for the GPUs at hand."""
    build = "CUDA" if torch.cuda_version else "ROCm" if torch.rocm_version else "CPU"
    for vendor, name, platform, index in (("nvidia", "NVIDIA", "CUDA", "cu130"), ("amd", "AMD", "ROCm", "rocm6.4")):
        gpus = [gpu for gpu in machine.gpus if gpu.vendor == vendor]
        if gpus and build != platform and not torch.devices:
            wheels = f"torch torchvision --index-url {WHEELS}{index}"
            if vendor == "nvidia" and all(between(gpu.target, *OLD_GPUS) for gpu in gpus):
                wheels = OLD_GPU_WHEELS
            yield Advice(
                about="torch",
                problem=f"torch {torch.version} is a build for {build}: the {name} GPU here stays unused.",
                action=f"pip install --force-reinstall {wheels} (pytorch.org/get-started lists all builds)",
            )


def _other_build(framework: Framework, gpu: Gpu) -> str:
    """What has kernels for this GPU."""
    if framework.name == "torch" and gpu.vendor == "nvidia":
        for (first, last), wheels in ((OLD_GPUS, OLD_GPU_WHEELS), (BLACKWELL, BLACKWELL_WHEELS)):
            if between(gpu.target, first, last):
                return f"pip install --force-reinstall {wheels}"
    return f"Install a build of {framework.name} that is compiled for {gpu.target}, or compile it."


def _same_platform(framework: Framework, gpu: Gpu) -> bool:
    """A CUDA build has no kernels for any AMD GPU: that is another advice."""
    return framework.targets[0].startswith("gfx") == (gpu.vendor == "amd")


def _major(version: str) -> int:
    text = version.partition(".")[0]
    return int(text) if text.isdecimal() else 0
