"""Numbers for people."""

import pytest

from rooflight.core import units


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (units.show_bytes(0), "0 B"),
        (units.show_bytes(1536), "1.50 KiB"),
        (units.show_bytes(1024**2 - 1), "1.00 MiB"),  # not "1024 KiB"
        (units.show_bytes(80 * 1024**3), "80.0 GiB"),
        (units.show_bytes(None), "unknown"),
        (units.show_count(93_322), "93.3 K"),
        (units.show_count(7), "7"),
        (units.show_flops(2.1e9), "2.10 GFLOP"),
        (units.show_flops_per_second(989e12), "989 TFLOP/s"),
        (units.show_bytes_per_second(3.35e12), "3.35 TB/s"),
        (units.show_tera(989.4e12), "989"),
        (units.show_tera(None), ""),
        (units.show_gibibytes(80 * 1024**3), "80"),
        (units.show_gibibytes(None), ""),
        (units.show_seconds(0.0213), "21.3 ms"),
        (units.show_seconds(1.5e-6), "1.50 µs"),
        (units.show_seconds(2e-10), "0.20 ns"),
        (units.show_seconds(89), "89.0 s"),
        (units.show_seconds(200), "3 min 20 s"),
        (units.show_seconds(7260), "2 h 1 min"),
        (units.show_percent(0.9144), "91.4 %"),
        (units.show_percent(0.05, signed=True), "+5.0 %"),
        (units.show_percent(-0.0001, signed=True), "0.0 %"),
        (units.show_rate(5312.4), "5,312 samples/s"),
        (units.show_rate(3.14159, "images"), "3.14 images/s"),
    ],
)
def test_shown(shown: str, expected: str) -> None:
    assert shown == expected
