"""Names as people type them."""

import pytest

from rooflight.catalogue.find import find, find_published, nearest_names
from rooflight.catalogue.load import catalogue
from rooflight.core.errors import SpecError


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("h100", "H100 SXM5 80GB"),
        ("H100 SXM5 80GB", "H100 SXM5 80GB"),
        ("h100 pcie", "H100 PCIe 80GB"),
        ("4090", "GeForce RTX 4090"),
        ("rtx 4090", "GeForce RTX 4090"),
        ("RTX-4090", "GeForce RTX 4090"),
        ("1080ti", "GeForce GTX 1080 Ti"),
        ("a100 sxm 80 GB", "A100 SXM4 80GB"),
        ("mi300x", "Instinct MI300X 192GB"),
        ("AMD Instinct MI300X", "Instinct MI300X 192GB"),
        ("7900 xtx", "Radeon RX 7900 XTX"),
        ("rtx 4090 laptop", "GeForce RTX 4090 Laptop"),
        ("b200", "B200 SXM 180GB"),
        ("dgx spark", "GB10 128GB"),
        ("l4", "L4"),
        ("m2 max 38-core", "Apple M2 Max 38-core 96GB"),
        ("NVIDIA H100 80GB HBM3", "H100 SXM5 80GB"),  # a driver's name does too
        ("Tesla V100-PCIE-32GB", "V100 PCIe 32GB"),
    ],
)
def test_a_name_that_people_type(typed: str, expected: str) -> None:
    assert find(typed).name == expected


def test_every_entry_is_found_by_its_own_name() -> None:
    assert all(find(spec.name) is spec for spec in catalogue())


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("a100", "can be A100 SXM4 40GB, A100 SXM4 80GB, A100 PCIe 40GB or A100 PCIe 80GB"),
        ("4060 ti", "can be GeForce RTX 4060 Ti 8GB or GeForce RTX 4060 Ti 16GB"),
        ("rtx 6000", "can be Quadro RTX 6000 or RTX 6000 Ada"),
        ("mi300", "Did you mean Instinct MI300A 128GB or Instinct MI300X 192GB"),
        ("RTX4090", "Did you mean GeForce RTX 4090, "),
        ("H100SXM", "Did you mean H100 SXM5 80GB or "),
        ("RTX4090Ti", "Did you mean GeForce RTX 4090"),
        ("titan", "Did you mean TITAN X"),
        ("rtx", "info --catalogue lists all"),
        ("", "no GPU ''"),
        ("abacus", "no GPU 'abacus'"),
        ("rtx 4090 ti", "no GPU 'rtx 4090 ti'"),
    ],
)
def test_a_name_that_is_none_or_several(typed: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        find(typed)


def test_a_hint_is_short() -> None:
    assert all(len(nearest_names(word)) < 350 for word in ("geforce", "orin", "apple", "v100", "x"))


@pytest.mark.parametrize(
    ("published", "expected"),
    [
        ("A100 SXM ", "A100 SXM4 80GB"),
        ("V100", "V100 SXM2 32GB"),
        ("V100 SXM3-H 32GB (DGX-2H 450W)", "V100 SXM3 32GB 450W"),
        ("RTX 2060 MaxQ", "GeForce RTX 2060 Max-Q"),
        ("RTX 3090", "GeForce RTX 3090"),
        ("AMD Radeon RX 5700", "Radeon RX 5700"),
        ("NVIDIA A100 - PCIe - 80 GB", "A100 PCIe 80GB"),
    ],
)
def test_a_name_in_published_measurements(published: str, expected: str) -> None:
    assert find_published(published).name == expected


def test_loose_names_are_for_published_measurements_only() -> None:
    with pytest.raises(SpecError, match="can be"):
        find("V100")
