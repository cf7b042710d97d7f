"""Which kernels run on which GPU, by NVIDIA's and LLVM's rules."""

import pytest

from rooflight.hardware.kernels import has_kernels

TORCH_2_14_CU130 = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120")
TORCH_CU126 = ("sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90")


@pytest.mark.parametrize(
    ("targets", "target", "expected"),
    [
        (TORCH_2_14_CU130, "7.0", False),  # V100
        (TORCH_2_14_CU130, "6.1", False),  # GTX 10
        (TORCH_2_14_CU130, "7.5", True),
        (TORCH_2_14_CU130, "8.9", True),  # sm_86 runs on a later minor version
        (TORCH_2_14_CU130, "10.3", True),
        (TORCH_2_14_CU130, "12.1", True),
        (TORCH_2_14_CU130, "11.0", False),  # Thor is a major version of its own
        (TORCH_2_14_CU130, "8.7", None),  # Orin: not promised across to Tegra
        (TORCH_CU126, "7.0", True),
        (TORCH_CU126, "6.1", True),
        (TORCH_CU126, "12.0", False),  # Blackwell
        (("sm_87",), "8.7", True),
        (("sm_87",), "8.9", None),
        (("sm_90a",), "9.0", True),
        (("sm_100a",), "10.3", False),
        (("sm_100f",), "10.3", True),
        (("sm_100f",), "11.0", False),
        (("sm_86",), "8.0", False),  # never backwards
        (("sm_80", "compute_80"), "12.0", True),  # PTX is compiled by the driver
        (("compute_90",), "8.9", False),
        (("compute_90a",), "10.0", False),  # features of one GPU have no future
        (("gfx942", "gfx1100"), "gfx942", True),
        (("gfx90a:sramecc+:xnack-", "gfx942:xnack+"), "gfx942", True),
        (("gfx942",), "gfx950", False),
        (("gfx9-4-generic",), "gfx950", True),
        (("gfx11-generic",), "gfx1151", True),
        (("gfx11-generic",), "gfx1201", False),
        (TORCH_2_14_CU130, "gfx1100", False),
        (("nonsense", "sm_"), "9.0", False),
        ((), "9.0", None),
        (TORCH_2_14_CU130, None, None),
        (TORCH_2_14_CU130, "bmg", None),
    ],
)
def test_has_kernels(targets: tuple[str, ...], target: str | None, expected: bool | None) -> None:
    assert has_kernels(targets, target) is expected
