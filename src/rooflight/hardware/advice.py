"""What is wrong or unused on this machine, why it matters and what to do. Pure: everything it rests on is handed in."""

from collections.abc import Iterator, Sequence

from rooflight.core.types import Advice, Gpu, GpuSpec, Machine
from rooflight.core.units import show_bytes
from rooflight.hardware.advice_packages import between, installed, kernel_advice, package_advice
from rooflight.hardware.surroundings import Surroundings
from rooflight.hardware.visible import visible_gpus

LOW_LIMIT = 0.97  # of the default power limit: less costs speed that one can measure
LEAST_GAIN = (
    1.05  # of TF32 over float32: GeForce 30 and 40 have none, as their Tensor Cores sum in float32 at half rate
)
SMALL_SHARED_MEMORY = 1 << 30

HARMLESS = ("display clocks", "clocks kept in step with another GPU")  # reasons to clock lower that are no fault

VISIBILITY = {"CUDA_VISIBLE_DEVICES": "nvidia", "HIP_VISIBLE_DEVICES": "amd", "ROCR_VISIBLE_DEVICES": "amd"}


def advise(
    machine: Machine, specs: Sequence[GpuSpec | None] = (), surroundings: Surroundings | None = None
) -> tuple[Advice, ...]:
    """Everything worth saying: packages first, then each GPU, then all of them and the processor.

    specs  the catalogue's entry of each GPU of the machine, in their order; None where it is unknown
    """
    around = surroundings or Surroundings()
    entries = [*specs, *(None for _ in machine.gpus[len(specs) :])]
    found = [*package_advice(machine, around), *_hidden(machine, around)]
    by_gpu: list[Advice] = []
    for gpu, spec in zip(machine.gpus, entries, strict=True):
        by_gpu += [*kernel_advice(machine, gpu), *_held_back(gpu), *_engines(machine, gpu, spec), *_memory(gpu)]
    return (*found, *_merged(by_gpu), *_mixed(machine), *_processor(machine, around))


def _merged(advice: Sequence[Advice]) -> Iterator[Advice]:
    """What holds for several GPUs alike is said once, for all of them."""
    alike: dict[tuple[str, str], list[str]] = {}
    for each in advice:
        alike.setdefault((each.problem, each.action), []).append(each.about)
    for (problem, action), names in alike.items():
        numbers = ", ".join(name.removeprefix("GPU ") for name in names)
        yield Advice(about=f"GPU{'s' if len(names) > 1 else ''} {numbers}", problem=problem, action=action)


# ---------------------------------------------------------------- one GPU


def _held_back(gpu: Gpu) -> Iterator[Advice]:
    """Power limit, PCIe lanes, throttling."""
    about, limit, default = f"GPU {gpu.index}", gpu.power_limit_watts, gpu.default_power_limit_watts
    if limit and default and limit < LOW_LIMIT * default:
        tool = ("nvidia-smi -pl", "-i") if gpu.vendor == "nvidia" else ("amd-smi set --power-cap", "-g")
        yield Advice(
            about=about,
            problem=f"its power limit is {limit:.0f} W, {limit / default:.0%} of the default {default:.0f} W: its "
            "clocks stay lower under load.",
            action=f"If that is not meant: sudo {tool[0]} {default:.0f} ({tool[1]} names one GPU)",
        )
    link = gpu.pcie
    if link and link.lanes and link.max_lanes and link.lanes < link.max_lanes:
        yield Advice(
            about=about,
            problem=f"its PCIe link has {link.lanes} of {link.max_lanes} lanes: data reaches it "
            f"at {link.lanes / link.max_lanes:.0%} of the speed that it could.",
            action="Use a slot with all its lanes, seat the card again, see whether an SSD shares the slot's lanes.",
        )
    reasons = [word for word in (gpu.state and gpu.state.throttled_by) or () if word not in HARMLESS]
    if reasons:
        yield Advice(
            about=about,
            problem=f"something holds its clocks down now ({', '.join(reasons)}): what is measured is below "
            "what it can.",
            action="Watch it under load with rooflight info --watch; heat wants air, a power cap a higher limit.",
        )


def _engines(machine: Machine, gpu: Gpu, spec: GpuSpec | None) -> Iterator[Advice]:
    """Matrix engines that are missing, idle, or lack a dtype."""
    about, torch = f"GPU {gpu.index}", installed(machine, "torch")
    rates = spec.flops_per_second if spec else {}
    if (spec.matrix_engine if spec else gpu.matrix_engine) == "none":
        yield Advice(
            about=about,
            problem=f"{gpu.name} has no matrix engine: 16-bit dtypes save memory but speed up little.",
            action="Train in float32; use float16 autocast where memory is short.",
        )
    elif _lacks_bfloat16(gpu, spec):
        yield Advice(
            about=about,
            problem=f"{gpu.name} does not multiply bfloat16 in hardware; PyTorch emulates it, slowly.",
            action="Use float16 with loss scaling: torch.autocast with torch.amp.GradScaler.",
        )
    gain = rates.get("tfloat32", 0.0) / rates["float32"] if rates.get("float32") else None
    has_tf32 = between(gpu.compute_capability, (8, 0), (99, 9)) if gain is None else gain > LEAST_GAIN
    if torch and torch.tf32 is False and has_tf32:
        higher = f", whose peak is {gain:.1f} times as high" if gain else ""
        yield Advice(
            about=about,
            problem=f"TF32 is off, as PyTorch starts: float32 matrix products leave the Tensor Cores idle{higher}.",
            action='If 10 bits of mantissa are enough: torch.set_float32_matmul_precision("high").',
        )


def _memory(gpu: Gpu) -> Iterator[Advice]:
    """MIG, unified memory, ECC, and a name that nobody tells."""
    about = f"GPU {gpu.index}"
    if gpu.mig:
        yield Advice(
            about=about,
            problem=f"it is split by MIG ({', '.join(gpu.mig)}): a program gets one part of it.",
            action="Choose a part by its UUID in CUDA_VISIBLE_DEVICES (nvidia-smi -L lists them).",
        )
    if gpu.unified_memory:
        yield Advice(
            about=about,
            problem="it shares the CPU's memory: what programs and file caches hold is missing on the GPU.",
            action="Leave a few GiB to the system; torch.cuda.mem_get_info() tells what is left on NVIDIA and AMD.",
        )
    if gpu.ecc is False and gpu.mig is not None:  # GPUs with MIG are for data centres and come with ECC on
        yield Advice(
            about=about,
            problem="ECC is off: a flipped bit in its memory goes unnoticed.",
            action="If that is not meant: sudo nvidia-smi -e 1 (-i names one GPU), then restart.",
        )
    if gpu.vendor == "amd" and gpu.name.startswith("AMD GPU "):
        yield Advice(
            about=about,
            problem="neither libdrm's table nor amdsmi names it: its data sheet cannot be looked up.",
            action="Install libdrm's amdgpu.ids (libdrm-common on Debian and Ubuntu), or the amdsmi of this ROCm.",
        )


def _lacks_bfloat16(gpu: Gpu, spec: GpuSpec | None) -> bool:
    if spec is not None:
        return "bfloat16" not in spec.flops_per_second
    return gpu.vendor == "nvidia" and between(gpu.compute_capability, (0, 0), (7, 9))


# ---------------------------------------------------------------- all of them, and the processor


def _hidden(machine: Machine, around: Surroundings) -> Iterator[Advice]:
    for name, vendor in VISIBILITY.items():
        value, gpus = around.variables.get(name), [gpu for gpu in machine.gpus if gpu.vendor == vendor]
        if value is not None and (seen := _seen(gpus, value)) < len(gpus):
            yield Advice(
                about=name,
                problem=f"{name}={value!r} hides GPUs from programs: they see {seen} of {len(gpus)}.",
                action=f"Unset {name} to use all of them.",
            )


def _seen(gpus: Sequence[Gpu], value: str) -> int:
    """How many GPUs programs see; MIG instances, and UUIDs that the driver does not tell, are taken at their word."""
    if value.startswith("MIG-") or ("GPU-" in value and any(gpu.uuid is None for gpu in gpus)):
        return len([word for word in value.split(",") if word.strip()])
    return len(visible_gpus(gpus, value))


def _mixed(machine: Machine) -> Iterator[Advice]:
    """Different GPUs side by side; graphics inside the processor do not count."""
    names = list(dict.fromkeys(gpu.name for gpu in machine.gpus if not gpu.unified_memory))
    if len(names) > 1:
        yield Advice(
            about="GPUs",
            problem=f"they differ ({', '.join(names)}): together, the slowest sets the pace and the smallest the "
            "batch. CUDA counts the fastest first, the driver by PCI address.",
            action="Set CUDA_DEVICE_ORDER=PCI_BUS_ID so that both count alike, and CUDA_VISIBLE_DEVICES to choose.",
        )


def _processor(machine: Machine, around: Surroundings) -> Iterator[Advice]:
    cpu = machine.cpu
    if around.host_cpus and cpu.logical_cores < around.host_cpus and "OMP_NUM_THREADS" not in around.variables:
        usable = f"{around.cpu_quota:g}" if around.cpu_quota is not None else str(cpu.logical_cores)
        yield Advice(
            about="CPU",
            problem=f"this process may use {usable} of {around.host_cpus} logical CPUs: a library that counts them "
            "all starts threads that wait for each other.",
            action=f"Set OMP_NUM_THREADS={cpu.logical_cores}, and no more data-loader workers than that.",
        )
    if not machine.gpus and not {"avx512_bf16", "amx_bf16", "bf16"} & set(cpu.isa):
        yield Advice(
            about="CPU",
            problem="it does not multiply bfloat16 in hardware: emulated, it is slower than float32.",
            action="Stay with float32.",
        )
    size = around.shared_memory_bytes
    if around.in_container and size is not None and size < SMALL_SHARED_MEMORY:
        yield Advice(
            about="/dev/shm",
            problem=f"the container has {show_bytes(size)} of shared memory: data-loader workers hand batches over in "
            "it, and die with a bus error when it is full.",
            action="Start the container with --shm-size=8g or --ipc=host.",
        )
