"""Peaks of processors, worked out by hand from their makers' manuals."""

from pathlib import Path

import pytest

from rooflight.hardware.cpu import cpu_model, cpuinfo_fields
from rooflight.hardware.cpu_peak import CpuId, cpu_id, cpu_peak, highest_clock, windows_cpu_id
from rooflight.hardware.isa import linux_isa
from tests.hardware import answers

INTEL, AMD = "GenuineIntel", "AuthenticAMD"


def peak(cpuinfo: str, cores: int | None, clock: float | None) -> tuple[dict[str, float], str]:
    fields = cpuinfo_fields(cpuinfo)
    rates, note = cpu_peak(
        cpu_model(cpuinfo) or "unknown", cpu_id(fields), linux_isa(fields), cores=cores, clock_hz=clock
    )
    return dict(rates), note


def test_sapphire_rapids_has_amx() -> None:
    rates, note = peak(answers.SAPPHIRE_RAPIDS, 56, 3.8e9)
    # Two units of 16 lanes: 2 × 16 × 2 = 64 FLOPs per clock; AMX: 1,024 in bfloat16, 2,048 in int8.
    assert rates == {
        "float64": 56 * 32 * 3.8e9,
        "float32": 56 * 64 * 3.8e9,
        "bfloat16": 56 * 1024 * 3.8e9,
        "float16": 56 * 128 * 3.8e9,
        "int8": 56 * 2048 * 3.8e9,
    }
    assert "3.80 GHz" in note
    guest, _ = peak(answers.SAPPHIRE_RAPIDS.replace("amx_", "hidden_"), 56, 3.8e9)
    assert set(guest) == {"float64", "float32", "float16"}  # a guest that is not given AMX


def test_zen_4_works_on_256_bits_and_multiplies_bfloat16() -> None:
    rates, _ = peak(answers.AMD_EPYC, 96, 3.7e9)
    assert rates["float32"] == 96 * 32 * 3.7e9
    assert rates["bfloat16"] == 2 * rates["float32"]


def test_neon_and_sve_by_the_cores_name() -> None:
    rates, _ = peak(answers.GRACE, 72, 3.1e9)
    assert rates["float64"] == pytest.approx(
        3.57e12, rel=0.01
    )  # NVIDIA's data sheet of the Grace CPU says 3.551 TFLOP/s
    assert rates["float16"] == 4 * rates["float64"]


@pytest.mark.parametrize(
    ("model", "identity", "isa", "per_clock"),
    [
        ("Intel(R) Core(TM) i7-9700K CPU @ 3.60GHz", CpuId(INTEL, 6, 158), ("avx2", "fma"), 32),
        ("Intel(R) Xeon(R) Gold 6248 CPU @ 2.50GHz", CpuId(INTEL, 6, 85), ("avx2", "avx512f"), 64),
        ("Intel(R) Xeon(R) Silver 4210 CPU @ 2.20GHz", CpuId(INTEL, 6, 85), ("avx2", "avx512f"), 32),
        ("Intel(R) Xeon(R) Gold 5122 CPU @ 3.60GHz", CpuId(INTEL, 6, 85), ("avx2", "avx512f"), 64),
        ("Intel(R) Xeon(R) Gold 6248 CPU @ 2.50GHz", CpuId(INTEL, 6, 85), ("avx2",), 32),  # a guest without AVX-512
        ("Intel(R) Xeon(R) Platinum 8375C CPU @ 2.90GHz", CpuId(INTEL, 6, 106), ("avx2", "avx512f"), 64),
        ("AMD Ryzen 7 1700", CpuId(AMD, 0x17, 1), ("avx2",), 16),
        ("AMD EPYC 7742", CpuId(AMD, 0x17, 0x31), ("avx2",), 32),
        ("AMD EPYC 7763", CpuId(AMD, 0x19, 1), ("avx2",), 32),
        ("AMD Ryzen 9 9950X", CpuId(AMD, 0x1A, 0x44), ("avx2", "avx512f"), 64),
        ("AMD Ryzen AI 9 HX 370", CpuId(AMD, 0x1A, 0x24), ("avx2", "avx512f"), 32),
    ],
)
def test_flops_per_clock(model: str, identity: CpuId, isa: tuple[str, ...], per_clock: int) -> None:
    rates, _ = cpu_peak(model, identity, isa, cores=1, clock_hz=1.0)
    assert rates["float32"] == per_clock


@pytest.mark.parametrize(
    ("cpuinfo", "cores", "clock", "why"),
    [
        (
            answers.HYBRID.replace(
                "model name", "vendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t: 151\nmodel name", 1
            ),
            16,
            5e9,
            "several kinds",
        ),
        (answers.GB10, 20, 4e9, "several kinds"),
        ("model name : Loongson-3A5000\n", 4, 2.5e9, "no entry"),
        (answers.SAPPHIRE_RAPIDS, None, 3.8e9, "number of physical cores"),
        # A virtual machine names its nominal clock at most: cores run above it, so that it makes no peak.
        (answers.SAPPHIRE_RAPIDS, 8, None, "no highest clock"),
    ],
)
def test_an_unknown_factor_leaves_the_peak_unknown(
    cpuinfo: str, cores: int | None, clock: float | None, why: str
) -> None:
    rates, note = peak(cpuinfo, cores, clock)
    assert rates == {}
    assert why in note


def test_the_highest_clock_of_all_cores(tmp_path: Path) -> None:
    assert highest_clock(tmp_path) is None
    for name, kilohertz in (("cpu0", "3600000"), ("cpu1", "5200000"), ("cpu2", "garbage")):
        folder = tmp_path / "sys/devices/system/cpu" / name / "cpufreq"
        folder.mkdir(parents=True)
        (folder / "cpuinfo_max_freq").write_text(kilohertz + "\n")
    assert highest_clock(tmp_path) == 5.2e9


def test_windows_names_the_same_numbers() -> None:
    assert windows_cpu_id("Intel64 Family 6 Model 143 Stepping 8, GenuineIntel") == CpuId(INTEL, 6, 143)
    assert windows_cpu_id("ARMv8 (64-bit) Family 8 Model 1 Revision 201, Qualcomm Technologies Inc").family == 8
    assert windows_cpu_id("") == CpuId("", None, None)
