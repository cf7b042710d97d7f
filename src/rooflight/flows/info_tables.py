"""What `rooflight info` prints: sheets of words and values that fit a terminal of 100 columns."""

import textwrap
from collections.abc import Iterator, Sequence

from rooflight.core.tables import Table
from rooflight.core.types import Advice, Cpu, Framework, Gpu, GpuSpec, Machine, PcieLink
from rooflight.core.units import show_bytes, show_bytes_per_second, show_flops_per_second, show_hertz, show_percent

VALUE_WIDTH = 80  # of 100 columns, beside the longest word on the left

# Packages whose file name does not tell what they were built for.
NO_BUILD = ("keras", "onnxruntime", "openvino")


def machine_table(machine: Machine) -> Table:
    """Processor, memory and system."""
    cpu = machine.cpu
    cores = f"{cpu.logical_cores} logical" + (f", {cpu.physical_cores} physical" if cpu.physical_cores else "")
    rows = (
        ("CPU", f"{cpu.model} ({cpu.architecture})"),
        ("cores", cores),
        ("for deep learning", " ".join(cpu.isa) or "no known extension"),
        ("peak", _peak(cpu)),
        ("cache", f"L2 {show_bytes(cpu.l2_bytes)}, L3 {show_bytes(cpu.l3_bytes)}"),
        ("memory", show_bytes(cpu.memory_bytes)),
        ("system", f"{machine.system}, Python {machine.python}"),
        ("platforms", ", ".join(_platforms(machine))),
    )
    return _sheet("machine", "", rows)


def gpu_table(gpu: Gpu, spec: GpuSpec | None, machine: Machine) -> Table:
    """Everything about one GPU: lines for which there is nothing to say are left out."""
    rows = (
        ("chip", _chip(gpu)),
        ("matrix engine", _engine(gpu, spec)),
        ("dense peaks", _peaks(spec)),
        ("memory", _memory(gpu, spec, machine)),
        ("power", _power(gpu)),
        ("clock", _clock(gpu)),
        ("state", _state(gpu)),
        ("links", "; ".join(_links(gpu))),
        ("MIG", "" if gpu.mig is None else ", ".join(gpu.mig) or "off"),
        ("driver", gpu.driver_version or ""),
        ("address", ", ".join(filter(None, (gpu.pci_address, gpu.uuid)))),
        ("catalogue", spec.name if spec else "unknown to it"),
    )
    return _sheet(f"GPU {gpu.index}", gpu.name, rows)


def framework_table(machine: Machine, *, asked: bool) -> Table:
    """Versions; and, where the packages were asked, what each sees and whether its kernels run here."""
    columns = (
        "framework",
        "version",
        "built for",
        "cuDNN",
        "sees",
        "kernels for the GPUs" if machine.gpus else "kernels",
    )
    rows = [_framework_row(each, machine.gpus) for each in machine.frameworks]
    if not asked:
        return Table(columns=columns[:3], rows=tuple(row[:3] for row in rows))
    return Table(columns=columns, rows=tuple(rows))


def advice_table(advice: Sequence[Advice]) -> Table:
    """What is wrong or unused, and below each what to do."""
    rows: list[tuple[str, str]] = []
    for each in advice:
        rows += _wrapped(each.about, each.problem)
        rows += _wrapped("", f"→ {each.action}")
    return Table(columns=("advice", ""), rows=tuple(rows))


# ---------------------------------------------------------------- one GPU


def _chip(gpu: Gpu) -> str:
    words = []
    if gpu.compute_capability:
        words.append(f"compute capability {gpu.compute_capability}")
    elif gpu.target:
        words.append(gpu.target)
    unit = {"nvidia": "SMs", "amd": "CUs", "intel": "Xe-cores", "apple": "cores"}[gpu.vendor]
    return ", ".join([*words, *([f"{gpu.units} {unit}"] if gpu.units else [])])


def _engine(gpu: Gpu, spec: GpuSpec | None) -> str:
    if spec is None:
        return ""
    dtypes = f": {', '.join(gpu.matrix_dtypes)}" if gpu.matrix_dtypes else ""
    return f"{gpu.matrix_engine or 'unknown'}{dtypes}"


def _peaks(spec: GpuSpec | None) -> str:
    if spec is None:
        return ""
    rates = [f"{dtype} {show_flops_per_second(rate)}" for dtype, rate in spec.flops_per_second.items()]
    return ", ".join([*rates, f"memory {show_bytes_per_second(spec.bytes_per_second)}"])


def _memory(gpu: Gpu, spec: GpuSpec | None, machine: Machine) -> str:
    free = gpu.state.free_bytes if gpu.state else gpu.free_bytes
    ecc = "" if gpu.ecc is None else f", ECC {'on' if gpu.ecc else 'off'}"
    if gpu.memory_bytes is None and gpu.unified_memory:
        return f"the CPU's ({show_bytes(machine.cpu.memory_bytes)}){ecc}"
    size = show_bytes(gpu.memory_bytes or (spec.memory_bytes if spec else None))
    left = f", {show_bytes(free)} free" if free is not None else ""
    shared = ", of the CPU's" if gpu.unified_memory else ""
    return f"{size}{left}{shared}{ecc}"


def _power(gpu: Gpu) -> str:
    words = []
    if gpu.state and gpu.state.power_watts is not None:
        words.append(f"{gpu.state.power_watts:.0f} W now")
    if gpu.power_limit_watts is not None:
        default = gpu.default_power_limit_watts
        words.append(f"limit {gpu.power_limit_watts:.0f} W" + (f" (default {default:.0f} W)" if default else ""))
    return ", ".join(words)


def _clock(gpu: Gpu) -> str:
    words = []
    if gpu.state and gpu.state.core_clock_hz is not None:
        words.append(f"{show_hertz(gpu.state.core_clock_hz)} now")
    if gpu.max_core_clock_hz is not None:
        words.append(f"up to {show_hertz(gpu.max_core_clock_hz)}")
    if gpu.state and gpu.state.memory_clock_hz is not None:
        words.append(f"memory {show_hertz(gpu.state.memory_clock_hz)}")
    return ", ".join(words)


def _state(gpu: Gpu) -> str:
    state, words = gpu.state, []
    if state is None:
        return ""
    if state.temperature_celsius is not None:
        words.append(f"{state.temperature_celsius:.0f} °C")
    if state.busy is not None:
        words.append(f"{show_percent(state.busy)} busy")
    if state.throttled_by is not None:
        words.append("held down by " + ", ".join(state.throttled_by) if state.throttled_by else "not throttled")
    return ", ".join(words)


def _links(gpu: Gpu) -> Iterator[str]:
    if gpu.pcie:
        yield _pcie(gpu.pcie)
    if gpu.nvlinks is not None:
        name = "xGMI" if gpu.vendor == "amd" else "NVLink"
        yield f"{gpu.nvlinks} {name} links up" if gpu.nvlinks else f"no {name} link up"


def _pcie(link: PcieLink) -> str:
    now = f"PCIe {link.generation or '?'}.0 x{link.lanes or '?'}"
    could = f"{link.max_generation or '?'}.0 x{link.max_lanes or '?'}"
    idle = (
        ", lower when idle" if link.generation and link.max_generation and link.generation < link.max_generation else ""
    )
    return f"{now} now, {could} possible{idle}" if f"PCIe {could}" != now else now


# ---------------------------------------------------------------- the machine and its packages


def _peak(cpu: Cpu) -> str:
    rates = ", ".join(f"{dtype} {show_flops_per_second(rate)}" for dtype, rate in cpu.peak_flops_per_second.items())
    return f"{rates or 'unknown'} ({cpu.peak_note})" if cpu.peak_note else rates


def _platforms(machine: Machine) -> Iterator[str]:
    if machine.cuda_driver_version:
        yield f"CUDA up to {machine.cuda_driver_version} by the driver"
    if machine.rocm_version:
        yield f"ROCm {machine.rocm_version} installed"


def _framework_row(framework: Framework, gpus: Sequence[Gpu]) -> tuple[str, ...]:
    if framework.version is None:
        return (framework.name, "not installed", "", "", "", "")
    return (
        framework.name,
        framework.version,
        _built_for(framework),
        framework.cudnn_version or "",
        _sees(framework, gpus),
        _kernels(framework, gpus),
    )


def _built_for(framework: Framework) -> str:
    if framework.cuda_version:
        return f"CUDA {framework.cuda_version}"
    if framework.rocm_version:
        return f"ROCm {framework.rocm_version}"
    if framework.backend:
        return f"on {framework.backend}"
    return "" if framework.name in NO_BUILD else "CPU"


def _sees(framework: Framework, gpus: Sequence[Gpu]) -> str:
    """How many of the GPUs above it names, and what else it calls an accelerator."""
    if framework.devices is None:
        return "failed: see advice" if framework.error else ""
    vendors = {gpu.name: gpu.vendor for gpu in gpus}
    seen = [vendors[name] for name in framework.devices if name in vendors]
    there = sum(gpu.vendor in seen for gpu in gpus)
    counted = [f"{len(seen)} of {there} GPU{'s' if there > 1 else ''}"] if seen else []
    others = [_short(name) for name in framework.devices if name not in vendors]
    return ", ".join(counted + others) or "CPU only"


def _short(device: str) -> str:
    """`CUDAExecutionProvider` → "CUDA"; `GPU.1: Intel(R) Arc(TM) …` → "GPU.1"."""
    return device.removesuffix("ExecutionProvider").partition(": ")[0]


def _kernels(framework: Framework, gpus: Sequence[Gpu]) -> str:
    """For each GPU whether the kernels run there; without a GPU, what they are compiled for."""
    from rooflight.hardware.kernels import has_kernels

    if not framework.targets:
        return ""
    if not gpus:
        return " ".join(framework.targets).replace(" sm_", " ")
    words = {True: "yes", False: "no", None: "not promised"}
    answers = [words[has_kernels(framework.targets, gpu.target)] for gpu in gpus]
    return (
        answers[0]
        if len(set(answers)) == 1
        else ", ".join(f"{gpu.index}: {word}" for gpu, word in zip(gpus, answers, strict=True))
    )


def _sheet(word: str, value: str, rows: Sequence[tuple[str, str]]) -> Table:
    lines = [line for name, text in rows if text for line in _wrapped(name, text)]
    return Table(columns=(word, value), rows=tuple(lines))


def _wrapped(name: str, text: str) -> list[tuple[str, str]]:
    """A word and its value, on as many lines as the value needs."""
    lines = textwrap.wrap(text, VALUE_WIDTH, break_long_words=False, break_on_hyphens=False, subsequent_indent="  ")
    return [(name if number == 0 else "", line) for number, line in enumerate(lines)]
