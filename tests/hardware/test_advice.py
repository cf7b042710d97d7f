"""Advice from machines that are easy to read: each line with its reason and what to do."""

import dataclasses
from pathlib import Path

import pytest

from rooflight.core.types import Advice, Framework, Gpu, GpuSpec, Machine
from rooflight.hardware.advice import advise
from rooflight.hardware.surroundings import Surroundings, look_around
from tests.hardware.fakes import NVIDIA_MACHINES, found_in_files, found_nvidia, machine

CU130 = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120")
TORCH = Framework(name="torch", version="2.14.1", cuda_version="13.0", devices=("a GPU",), targets=CU130, tf32=True)


def of(name: str, torch: Framework = TORCH, cuda: str | None = "13.0") -> Machine:
    return machine(*found_nvidia(name).gpus, frameworks=[torch], cuda=cuda)


def about(advice: tuple[Advice, ...], word: str) -> Advice:
    """The one line whose problem has this word."""
    (found,) = [each for each in advice if word in each.problem]
    return found


def problems(advice: tuple[Advice, ...]) -> str:
    return "\n".join(each.problem for each in advice)


def spec(**rates: float) -> GpuSpec:
    return GpuSpec(name="A card", memory_bytes=1, bytes_per_second=1, flops_per_second=rates, source="made up")


def test_a_sound_machine_has_nothing_to_say() -> None:
    assert advise(of("h100_sxm5")) == ()


def test_a_v100_cannot_run_wheels_for_cuda_13() -> None:
    found = about(advise(of("v100_sxm2")), "has no kernels")
    assert found.about == "GPU 0"
    assert "Tesla V100-SXM2-32GB (7.0)" in found.problem
    assert "sm_75" in found.problem
    assert "whl/cu126" in found.action
    old = dataclasses.replace(TORCH, targets=("sm_50", "sm_60", "sm_70", "sm_75", "sm_80"), cuda_version="12.6")
    assert "no kernels" not in problems(advise(of("v100_sxm2", old)))


def test_blackwell_with_wheels_for_cuda_12_6() -> None:
    old = dataclasses.replace(TORCH, targets=("sm_80", "sm_86", "sm_90"), cuda_version="12.6")
    assert "whl/cu130" in about(advise(of("b200", old)), "has no kernels").action


def test_an_old_driver() -> None:
    found = about(advise(of("h200", cuda="12.4")), "is built for CUDA 13.0")
    assert "driver 550.90.07 goes up to CUDA 12.4" in found.problem
    assert "driver 580 or newer" in found.action
    assert "built for" not in problems(advise(of("h200", dataclasses.replace(TORCH, cuda_version="12.9"), cuda="12.4")))


def test_a_build_for_cuda_that_sees_no_gpu() -> None:
    blind = dataclasses.replace(TORCH, devices=())
    assert "/dev/nvidia-uvm" in about(advise(of("h100_sxm5", blind)), "sees none of the 1 GPU that").action
    assert "sees none" not in problems(advise(of("h100_sxm5", blind, cuda="12.4")))  # the driver is too old: said once
    hidden = Surroundings(variables={"CUDA_VISIBLE_DEVICES": ""})
    assert "sees none" not in problems(advise(of("h100_sxm5", blind), (), hidden))
    assert "sees none" not in problems(advise(of("h100_sxm5", dataclasses.replace(TORCH, devices=None))))  # not asked


def test_a_cpu_build_on_a_machine_with_a_gpu() -> None:
    cpu = Framework(name="torch", version="2.14.1+cpu", cuda_version=None, devices=())
    assert "whl/cu130" in about(advise(of("rtx_4090", cpu)), "is a build for CPU").action
    assert "whl/cu126" in about(advise(of("v100_sxm2", cpu)), "is a build for CPU").action
    assert "is a build" not in problems(advise(machine(frameworks=[cpu])))


def test_a_cuda_build_on_a_machine_of_amd(tmp_path: Path) -> None:
    gpus = found_in_files("mi300x", tmp_path).gpus
    found = about(advise(machine(*gpus, frameworks=[dataclasses.replace(TORCH, devices=())])), "is a build for CUDA")
    assert "whl/rocm" in found.action
    assert "no kernels" not in problems(advise(machine(*gpus, frameworks=[TORCH])))  # nor could it have any
    rocm = Framework(name="torch", version="2.14.1+rocm6.4", cuda_version=None, rocm_version="6.4", targets=("gfx942",))
    assert advise(machine(*gpus, frameworks=[rocm])) == ()
    other = dataclasses.replace(rocm, targets=("gfx1100",))
    assert "compiled for gfx942" in about(advise(machine(*gpus, frameworks=[other])), "has no kernels").action


def test_a_capped_card_in_a_narrow_slot() -> None:
    advice = advise(of("rtx_3090"))
    capped = about(advice, "power limit is 300 W, 71% of the default 420 W")
    assert "sudo nvidia-smi -pl 420" in capped.action
    assert "4 of 16 lanes" in about(advice, "PCIe").problem  # the generation at idle is no fault


def test_a_radeon_that_is_capped(tmp_path: Path) -> None:
    advice = advise(machine(*found_in_files("rx_7900_xtx", tmp_path).gpus, frameworks=[]))
    assert "sudo amd-smi set --power-cap 355" in about(advice, "power limit is 290 W").action
    assert "8 of 16 lanes" in about(advice, "PCIe").problem


def test_a_hot_t4_without_bfloat16() -> None:
    advice = advise(of("t4"))
    assert "(power cap, heat)" in about(advice, "holds its clocks down").problem
    assert "float16 with loss scaling" in about(advice, "bfloat16").action


def test_no_tensor_cores_is_known_from_the_catalogue_alone() -> None:
    none = dataclasses.replace(spec(float32=5e12, float16=1e13), matrix_engine="none")
    with_entry = advise(of("gtx_1660"), [none])
    assert "no matrix engine" in problems(with_entry)
    assert "bfloat16" not in problems(with_entry)  # one line about dtypes is enough
    assert "no matrix engine" not in problems(advise(of("gtx_1660")))


def test_tf32_that_is_off() -> None:
    off = dataclasses.replace(TORCH, tf32=False)
    found = about(advise(of("h100_sxm5", off), [spec(float32=67e12, tfloat32=495e12, bfloat16=989e12)]), "TF32 is off")
    assert "7.4 times" in found.problem
    assert "set_float32_matmul_precision" in found.action
    assert "TF32" in problems(advise(of("h100_sxm5", off)))  # without the catalogue, by compute capability
    assert "TF32" not in problems(advise(of("t4", off)))
    geforce = spec(float32=35.6e12, tfloat32=35.6e12, bfloat16=71e12)
    assert "TF32" not in problems(advise(of("rtx_3090", off), [geforce]))  # nothing would be won
    assert "TF32" not in problems(advise(of("h100_sxm5")))


def test_mig_and_unified_memory() -> None:
    assert "MIG 3g.40gb" in about(advise(of("a100_mig")), "split by MIG").problem
    for name in ("jetson_orin", "gb10"):
        assert "shares the CPU's memory" in problems(advise(of(name)))


def test_ecc_that_is_off_on_a_data_centre_card() -> None:
    gpu = dataclasses.replace(found_nvidia("a100_sxm4").gpus[0], ecc=False)
    assert "ECC is off" in problems(advise(machine(gpu, frameworks=[TORCH])))
    assert "ECC" not in problems(advise(of("rtx_4090")))  # a desktop card comes so


def test_two_kinds_of_gpus() -> None:
    found = about(advise(of("two_mixed")), "they differ")
    assert "NVIDIA GeForce RTX 3090, NVIDIA RTX A5000" in found.problem
    assert "PCI_BUS_ID" in found.action


def test_what_holds_for_several_is_said_once() -> None:
    gpu = found_nvidia("rtx_3090").gpus[0]
    twins = machine(gpu, dataclasses.replace(gpu, index=1), frameworks=[TORCH])
    assert {each.about for each in advise(twins)} == {"GPUs 0, 1"}
    assert len(advise(twins)) == len(advise(machine(gpu, frameworks=[TORCH])))


def test_graphics_inside_the_processor_are_no_second_kind(tmp_path: Path) -> None:
    gpus = found_in_files("arc_b580", tmp_path).gpus
    assert "differ" not in problems(advise(machine(*gpus, frameworks=[TORCH])))


def test_a_card_without_a_name(tmp_path: Path) -> None:
    (gpu,) = found_in_files("rx_7900_xtx", tmp_path).gpus
    nameless = dataclasses.replace(gpu, name="AMD GPU 0x744c (rev c8)")
    assert "amdgpu.ids" in about(advise(machine(nameless, frameworks=[])), "names it").action


@pytest.mark.parametrize(
    ("value", "hides"),
    [
        ("0", True),
        ("", True),
        ("-1", True),
        ("99", True),
        ("0,99,1", True),
        ("GPU-zzz", True),
        ("0,0", True),
        ("0,,1", True),
        ("0,١", True),
        ("0,1", False),
        ("1,0", False),
        ("GPU-a5,0", False),
    ],
)
def test_hidden_gpus(value: str, hides: bool) -> None:
    around = Surroundings(variables={"CUDA_VISIBLE_DEVICES": value})
    assert ("hides GPUs" in problems(advise(of("two_mixed"), (), around))) == hides
    assert "hides GPUs" not in problems(advise(machine(frameworks=[TORCH]), (), around))  # there is none to hide


def test_variables_that_harm() -> None:
    around = Surroundings(variables={"CUDA_LAUNCH_BLOCKING": "1", "HSA_OVERRIDE_GFX_VERSION": "11.0.0"})
    assert {each.about for each in advise(of("h100_sxm5"), (), around)} == {
        "CUDA_LAUNCH_BLOCKING",
        "HSA_OVERRIDE_GFX_VERSION",
    }
    assert advise(of("h100_sxm5"), (), Surroundings(variables={"CUDA_LAUNCH_BLOCKING": "0"})) == ()


def test_no_torch_and_a_package_that_fails() -> None:
    jax = Framework(name="jax", version="0.10", cuda_version=None, error="killed by SIGSEGV: it said nothing")
    advice = advise(machine(frameworks=[Framework(name="torch", version=None, cuda_version=None), jax]))
    assert about(advice, "PyTorch is not installed").action == "pip install torch torchvision"
    assert "killed by SIGSEGV" in about(advice, "jax 0.10 could not be asked").problem


def test_a_container_with_little_room() -> None:
    small = Surroundings(in_container=True, shared_memory_bytes=64 << 20, host_cpus=64, cpu_quota=3.5)
    advice = advise(machine(frameworks=[TORCH], cores=4), (), small)
    assert "64.0 MiB of shared memory" in about(advice, "bus error").problem
    assert "3.5 of 64 logical CPUs" in about(advice, "logical CPUs").problem
    told = dataclasses.replace(small, variables={"OMP_NUM_THREADS": "4"}, in_container=False)
    assert advise(machine(frameworks=[TORCH], cores=4), (), told) == ()


def test_a_processor_without_bfloat16() -> None:
    old = machine(frameworks=[TORCH], isa=("avx", "avx2"))
    assert "does not multiply bfloat16" in problems(advise(old))
    with_gpu = machine(*found_nvidia("h100_sxm5").gpus, frameworks=[TORCH], isa=("avx2",))
    assert advise(with_gpu) == ()


@pytest.mark.parametrize("name", NVIDIA_MACHINES)
def test_every_line_says_what_and_why_and_what_to_do(name: str) -> None:
    around = Surroundings(
        variables={"CUDA_VISIBLE_DEVICES": ""}, in_container=True, shared_memory_bytes=1, host_cpus=99
    )
    torch = dataclasses.replace(TORCH, tf32=False, error="devices: RuntimeError: no driver")
    advice = advise(of(name, torch, cuda="11.4"), (), around)
    assert len(advice) >= 4
    for each in advice:
        assert each.about
        assert each.problem.endswith(".")
        assert len(each.action) > 10
    assert len(set(advice)) == len(advice)


def test_the_surroundings_of_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.setenv("UNRELATED", "1")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert look_around(tmp_path).shared_memory_bytes is None
    assert not look_around(tmp_path).in_container
    (tmp_path / ".dockerenv").touch()
    (tmp_path / "dev/shm").mkdir(parents=True)
    found = look_around(tmp_path)
    assert found.in_container
    assert found.variables == {"CUDA_VISIBLE_DEVICES": "1"} | {
        k: v for k, v in found.variables.items() if k != "CUDA_VISIBLE_DEVICES"
    }
    assert "UNRELATED" not in found.variables
    assert (found.shared_memory_bytes or 0) > 0


def test_fields_that_are_unknown_are_no_fault() -> None:
    bare = Gpu(
        index=0,
        name="A GPU",
        vendor="nvidia",
        memory_bytes=None,
        free_bytes=None,
        compute_capability=None,
        driver_version=None,
        power_limit_watts=None,
    )
    assert advise(machine(bare, frameworks=[TORCH])) == ()
