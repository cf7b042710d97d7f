"""AMD's GPUs from the files of the kernel driver amdgpu, with amdsmi for what those lack."""

import dataclasses
import re
from pathlib import Path

from rooflight.core.types import Gpu, GpuState
from rooflight.hardware.amd_smi import SmiGpu, ask_amdsmi
from rooflight.hardware.found import FoundGpus
from rooflight.hardware.limits import read
from rooflight.hardware.sysfs import celsius, graphics_cards, number, pci_address, sensor, slot_link, watts

VENDOR = "0x1002"

# Where libdrm's table of names lies: the distribution's, and the one that ROCm's installer brings.
NAME_FILES = ("usr/share/libdrm/amdgpu.ids", "opt/amdgpu/share/libdrm/amdgpu.ids")

# Graphics inside a processor, whose memory is the CPU's: from LLVM's list of AMDGPU processors ("APU").
UNIFIED_MEMORY = {
    *("gfx902", "gfx909", "gfx90c", "gfx1013", "gfx1033", "gfx1035", "gfx1036", "gfx1037", "gfx1103"),
    *("gfx1150", "gfx1151", "gfx1152", "gfx1153"),
}
MI300A = "0x74a0"

_XGMI = "11"  # kfd_sysfs.h: the type of an xGMI link between two nodes


def amd_gpus(root: Path = Path("/")) -> FoundGpus:
    """AMD's GPUs in the order of their cards, which ROCm follows as a rule.

    root  where /sys, /opt and /usr are looked for
    """
    devices = graphics_cards(root / "sys/class/drm", VENDOR)
    if not devices:
        return FoundGpus()
    nodes = _kfd_nodes(root / "sys/class/kfd/kfd/topology/nodes")
    names = _names(root)
    driver = read(root / "sys/module/amdgpu/version") or None  # an out-of-tree driver's; the kernel's own has none
    gpus = [_gpu(index, device, nodes, names, driver) for index, device in enumerate(devices)]
    if all(gpu.uuid and not gpu.name.startswith("AMD GPU") for gpu in gpus):
        return FoundGpus(gpus=tuple(gpus))
    answers, why = ask_amdsmi()
    return FoundGpus(gpus=tuple(_completed(gpu, answers) for gpu in gpus), notes=(why,) if why else ())


def rocm_version(root: Path = Path("/")) -> str | None:
    """The version of the ROCm that is installed for the whole system: "6.4.1"."""
    found = re.match(r"\d+(\.\d+)+", read(root / "opt/rocm/.info/version"))
    return found.group() if found else None


def gfx_target(version: int) -> str | None:
    """The compiler's name of a gfx_target_version, which holds two digits each of major, minor and stepping.

    `90402` → "gfx942", `90010` → "gfx90a", `110000` → "gfx1100"
    """
    major, minor, stepping = version // 10000, version // 100 % 100, version % 100
    return f"gfx{major}{minor:x}{stepping:x}" if major else None


def amd_state(device: Path) -> GpuState:
    """Clocks, power, temperature and load now. The kernel's files do not say what slows the clocks.

    device  /sys/class/drm/card0/device
    """
    total, used, busy = (
        number(device / name) for name in ("mem_info_vram_total", "mem_info_vram_used", "gpu_busy_percent")
    )
    core, _ = _levels(read(device / "pp_dpm_sclk"))
    memory, _ = _levels(read(device / "pp_dpm_mclk"))
    hertz = sensor(device, "freq1_input")
    return GpuState(
        free_bytes=None if total is None or used is None else total - used,
        core_clock_hz=float(hertz) if hertz is not None else core,
        memory_clock_hz=memory,
        power_watts=watts(sensor(device, "power1_input", "power1_average")),
        # The junction (temp2), the hottest spot, is what throttling goes by; old GPUs only tell the edge (temp1).
        temperature_celsius=celsius(sensor(device, "temp2_input", "temp1_input")),
        busy=None if busy is None else busy / 100,
    )


def _gpu(index: int, device: Path, nodes: dict[str, dict[str, str]], names: dict[str, str], driver: str | None) -> Gpu:
    address = pci_address(device)
    node = nodes.get(address or "", {})
    target = gfx_target(_whole(node, "gfx_target_version"))
    state = amd_state(device)
    _, max_clock = _levels(read(device / "pp_dpm_sclk"))
    return Gpu(
        index=index,
        name=_name(device, names),
        vendor="amd",
        memory_bytes=number(device / "mem_info_vram_total"),
        free_bytes=state.free_bytes,
        compute_capability=None,
        target=target,
        driver_version=driver,
        units=_whole(node, "simd_count") // (_whole(node, "simd_per_cu") or 1) or None,
        uuid=read(device / "unique_id") or None,
        pci_address=address,
        power_limit_watts=watts(sensor(device, "power1_cap")),
        default_power_limit_watts=watts(sensor(device, "power1_cap_default")),
        max_core_clock_hz=max_clock or (_whole(node, "max_engine_clk_fcompute") * 1e6 or None),
        pcie=slot_link(device, VENDOR),
        nvlinks=int(node["xgmi"]) if "xgmi" in node else None,
        unified_memory=target in UNIFIED_MEMORY or read(device / "device") == MI300A,
        state=state,
    )


def _name(device: Path, names: dict[str, str]) -> str:
    """Data-centre cards carry their name; libdrm's table knows most others; the rest keep their numbers."""
    kind, revision = read(device / "device"), read(device / "revision")
    listed = names.get(f"{kind[2:]},{revision[2:]}".upper())
    if name := read(device / "product_name") or listed:
        return name
    return f"AMD GPU {kind or 'of unknown kind'}" + (f" (rev {revision[2:]})" if revision else "")


def _names(root: Path) -> dict[str, str]:
    """libdrm's table, "744C,C8" → "AMD Radeon RX 7900 XTX"; empty where no such file is installed."""
    text = next((text for file in NAME_FILES if (text := read(root / file))), "")
    rows = ([cell.strip() for cell in line.split(",", 2)] for line in text.splitlines() if not line.startswith("#"))
    return {f"{row[0]},{row[1]}".upper(): row[2] for row in rows if len(row) == 3}


def _kfd_nodes(nodes: Path) -> dict[str, dict[str, str]]:
    """The compute driver's properties of each GPU, by PCI address; "xgmi" counts its links of that kind."""
    found = {}
    for node in nodes.glob("[0-9]*"):
        properties = _properties(node / "properties")
        if not _whole(properties, "simd_count"):
            continue  # a processor
        bus = _whole(properties, "location_id")
        address = f"{_whole(properties, 'domain'):04x}:{bus >> 8 & 0xFF:02x}:{bus >> 3 & 0x1F:02x}.{bus & 7}"
        kinds = [_properties(link / "properties").get("type") for link in node.glob("io_links/[0-9]*")]
        found[address] = properties | ({"xgmi": str(kinds.count(_XGMI))} if _XGMI in kinds else {})
    return found


def _properties(path: Path) -> dict[str, str]:
    pairs = (line.split() for line in read(path).splitlines())
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def _whole(properties: dict[str, str], name: str) -> int:
    text = properties.get(name, "")
    return int(text) if text.isdecimal() else 0


def _levels(table: str) -> tuple[float | None, float | None]:
    """(current, highest) clock in Hz of a pp_dpm file: lines such as `1: 2100Mhz *`, the star at the current level."""
    rows = re.findall(r"^\s*\w+:\s*(\d+)\s*Mhz\s*(\*?)", table, re.MULTILINE | re.IGNORECASE)
    now = next((int(megahertz) * 1e6 for megahertz, star in rows if star), None)
    return now, max((int(megahertz) * 1e6 for megahertz, _ in rows), default=None)


def _completed(gpu: Gpu, answers: dict[str, SmiGpu]) -> Gpu:
    """Name and UUID from amdsmi where the kernel's files lack them."""
    smi = answers.get(gpu.pci_address or "")
    if smi is None:
        return gpu
    name = smi.name if smi.name and gpu.name.startswith("AMD GPU") else gpu.name
    return dataclasses.replace(gpu, name=name, uuid=gpu.uuid or smi.uuid)
