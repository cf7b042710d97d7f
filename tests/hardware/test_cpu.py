"""The processor, from the answers of other machines and from this one."""

import sys
from pathlib import Path

import psutil
import pytest

from rooflight.hardware import cpu
from rooflight.hardware.isa import apple_isa, linux_isa
from tests.hardware import answers


@pytest.mark.parametrize(
    ("cpuinfo", "model", "isa"),
    [
        (
            answers.AMD_EPYC,
            "AMD EPYC 9654 96-Core Processor",
            ("avx", "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx512_bf16"),
        ),
        (
            answers.SAPPHIRE_RAPIDS,
            "Intel(R) Xeon(R) Platinum 8480+",
            (
                *("avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
                *("amx_tile", "amx_int8", "amx_bf16"),
            ),
        ),
        (answers.HYBRID, "12th Gen Intel(R) Core(TM) i9-12900K", ("avx", "avx2", "fma", "avx_vnni")),
        (answers.GRACE, "Neoverse-V2", ("neon", "fp16", "dotprod", "bf16", "i8mm", "sve", "sve2")),
        (answers.GB10, "Cortex-A725 + Cortex-X925", ("neon", "fp16", "dotprod", "bf16", "i8mm", "sve", "sve2")),
        (answers.JETSON_ORIN, "Cortex-A78AE", ("neon", "fp16", "dotprod")),
        ("", None, ()),
        ("no colon here\n\0\n:::\n", None, ()),
    ],
)
def test_cpuinfo(cpuinfo: str, model: str | None, isa: tuple[str, ...]) -> None:
    assert cpu.cpu_model(cpuinfo) == model
    assert linux_isa(cpu.cpuinfo_fields(cpuinfo)) == isa


def test_an_unknown_arm_core_keeps_its_numbers() -> None:
    assert cpu.cpu_model("CPU implementer : 0x99\nCPU part : 0xabc\n") == "Arm core (implementer 0x99, part 0xabc)"


def test_an_old_arm_kernel_that_gives_no_part_keeps_its_text() -> None:
    assert cpu.cpu_model("model name : ARMv7 Processor rev 5 (v7l)\n") == "ARMv7 Processor rev 5 (v7l)"


def test_sysctl() -> None:
    apple, intel = (cpu.sysctl_fields(text) for text in (answers.APPLE_M2_SYSCTL, answers.INTEL_MAC_SYSCTL))
    assert apple["machdep.cpu.brand_string"] == "Apple M2 Max"
    assert apple_isa(apple) == ("neon", "dotprod", "bf16", "i8mm")
    assert apple_isa(intel) == ("avx", "avx2", "fma", "f16c")
    assert apple_isa({}) == ()


@pytest.mark.parametrize(
    ("machine", "name"), [("AMD64", "x86_64"), ("arm64", "aarch64"), ("riscv64", "riscv64"), ("", "unknown")]
)
def test_architecture(machine: str, name: str) -> None:
    assert cpu.architecture(machine) == name


def _cache(cpus: Path, number: int, index: int, *, level: str, kind: str, size: str, shared: str) -> None:
    folder = cpus / f"cpu{number}/cache/index{index}"
    folder.mkdir(parents=True)
    for name, text in (("level", level), ("type", kind), ("size", size), ("shared_cpu_list", shared)):
        (folder / name).write_text(text + "\n")


def test_each_cache_counts_once(tmp_path: Path) -> None:
    # Four CPUs on two cores: an L2 for each pair, one L3 for all, and an instruction cache that is none of both.
    for number, pair in ((0, "0,2"), (1, "1,3"), (2, "0,2"), (3, "1,3")):
        _cache(tmp_path, number, 1, level="2", kind="Instruction", size="64K", shared=pair)
        _cache(tmp_path, number, 2, level="2", kind="Unified", size="1024K", shared=pair)
        _cache(tmp_path, number, 3, level="3", kind="Unified", size="32M", shared="0-3")
    (tmp_path / "cpufreq").mkdir()
    assert cpu.cache_bytes(2, tmp_path) == 2 * 1024 * 1024
    assert cpu.cache_bytes(3, tmp_path) == 32 * 1024 * 1024
    assert cpu.cache_bytes(4, tmp_path) is None
    assert cpu.cache_bytes(2, tmp_path / "missing") is None


@pytest.mark.skipif(sys.platform != "linux", reason="reads a fake /proc")
def test_a_container_sees_its_limits(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/cpuinfo").write_text(answers.SAPPHIRE_RAPIDS)
    (tmp_path / "proc/self/cgroup").write_text("0::/\n")
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/memory.max").write_text(f"{1 << 28}\n")
    (tmp_path / "sys/fs/cgroup/cpu.max").write_text("50000 100000\n")
    found = cpu.detect_cpu(tmp_path)
    assert found.memory_bytes == 1 << 28
    assert found.logical_cores == 1
    assert found.physical_cores in (1, None)
    assert found.model == "Intel(R) Xeon(R) Platinum 8480+"
    assert found.l2_bytes is None


@pytest.mark.skipif(sys.platform != "linux", reason="hides /proc")
def test_a_machine_without_proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = psutil.virtual_memory().total
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))
    found = cpu.detect_cpu(tmp_path)
    assert found.model  # the architecture, or "unknown"
    assert found.isa == ()
    assert found.l2_bytes is None
    assert found.l3_bytes is None
    assert found.logical_cores >= 1
    assert found.memory_bytes == pytest.approx(whole, rel=0.05)  # asked of the kernel instead


def test_this_machine() -> None:
    found = cpu.detect_cpu()
    assert found.logical_cores >= (found.physical_cores or 1) >= 1
    assert 0 < found.memory_bytes <= psutil.virtual_memory().total
