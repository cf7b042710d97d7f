"""The roofline in letters, against drawings that were checked by eye and by ruler."""

import pytest

from rooflight.report.roofline import WIDTH, Ceiling, draw_roofline

CEILINGS = (
    Ceiling(label="vector float32", flops_per_second=1e11, peak_flops_per_second=2e11),
    Ceiling(label="matrix bfloat16", flops_per_second=1e12),
)

BRAILLE = """\
  FLOP/s
 10.0 T │
        │
        │
        │
 1.00 T │                                 ⣀⠔⠊⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉ b
        │                              ⣀⠔⠊
        │                           ⣀⠔⢊ ⢀ ⢀ ⢀ ⢀ ⢀ ⢀ ⢀ ⢀ ⢀ ⢀ ⢀ ⢀ ⢀ ⢀ ⢀
        │                        ⣀⠔⠊
  100 G │                     ⣀⠔⠊⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉ a
        │                  ⣀⠔⠊
        │               ⡠⠔⠉
 10.0 G │            ⡠⠔⠉
        │         ⡠⠔⠉
        │      ⡠⠔⠉
        │   ⡠⠔⠉
 1.00 G │⡠⠔⠉
        └────────────────────────────────────────────────────────────
         0.1         1           10         100         1000    10000  FLOP/B

slope: 10.0 GB/s of memory, measured
a: vector float32   100 GFLOP/s, ridge at 10 FLOP/B, dense peak 200 GFLOP/s (dotted)
b: matrix bfloat16  1.00 TFLOP/s, ridge at 100 FLOP/B"""

ASCII = """\
  FLOP/s
 10.0 T |
        |
        |
        |
 1.00 T |                                  ************************** b
        |                               ***
        |                           .***.   .   .   .   .   .   .   .
        |                        ****
  100 G |                     *************************************** a
        |                  ***
        |               ***
 10.0 G |            ***
        |        ****
        |     ***
        |  ***
 1.00 G |**
        +------------------------------------------------------------
         0.1         1           10         100         1000    10000  FLOP/B

slope: 10.0 GB/s of memory, measured
a: vector float32   100 GFLOP/s, ridge at 10 FLOP/B, dense peak 200 GFLOP/s (dotted)
b: matrix bfloat16  1.00 TFLOP/s, ridge at 100 FLOP/B"""


@pytest.mark.parametrize(("ascii_only", "drawing"), [(False, BRAILLE), (True, ASCII)])
def test_a_known_drawing(ascii_only: bool, drawing: str) -> None:
    """10 GB/s: ridges at 10 and 100 FLOP/B; the corner of the slope is on each; the dotted peak is twice `a`."""
    assert draw_roofline(1e10, CEILINGS, ascii_only=ascii_only) == drawing


def test_ascii_is_ascii_and_all_is_within_72_columns() -> None:
    many = [Ceiling(label=f"vector dtype{n}", flops_per_second=3e9 * 2**n) for n in range(12)]
    picture, _, legend = draw_roofline(4e10, many, ascii_only=True).partition("\n\n")
    assert picture.isascii()
    assert max(map(len, picture.splitlines())) <= WIDTH + len("  FLOP/B")
    assert legend.count("ridge at") == 12


def test_marks_stand_at_the_end_of_their_line() -> None:
    lines = draw_roofline(1e10, CEILINGS, ascii_only=True).splitlines()
    marked = {line[-1]: line for line in lines[:18] if line.endswith((" a", " b"))}
    assert "100 G" in marked["a"]
    assert "1.00 T" in marked["b"]


def test_lines_that_fall_together_share_a_row_of_marks() -> None:
    near = [Ceiling(label=name, flops_per_second=rate) for name, rate in (("x", 1.00e11), ("y", 1.01e11))]
    assert any(line.endswith(" ab") for line in draw_roofline(1e10, near).splitlines())
