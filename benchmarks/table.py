"""The README's table of speed, made from a stored result, so that no figure is typed by hand.

python -m benchmarks.table benchmarks/results/cnn-DATE.json [--write]
"""

import argparse
import re
from pathlib import Path

from benchmarks.record import Comparison, Row
from rooflight.core.codec import from_json
from rooflight.core.files import write_file
from rooflight.core.tables import Table, markdown

README = Path(__file__).parent.parent / "README.md"
BLOCK = re.compile(r"(?<=<!-- speed: made by benchmarks/table.py -->\n).*?(?=\n<!-- end of speed -->)", re.DOTALL)


def main() -> None:
    """Print the block, or put it into the README."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", type=Path)
    parser.add_argument("--write", action="store_true", help="put it into README.md")
    arguments = parser.parse_args()
    block = speed_block(from_json(Comparison, arguments.result.read_text()), arguments.result.name)
    if arguments.write:
        write_file(README, BLOCK.sub(lambda _: block, README.read_text()))
    print(block)


def speed_block(result: Comparison, name: str) -> str:
    """One table for all batches: a peer's images/s, and how much faster Rooflight is, round by round."""
    batches = sorted({row.batch for row in result.rows})
    by_name = {(row.variant, row.batch): row for row in result.rows}
    largest = [row for row in result.rows if row.batch == batches[-1]]
    columns = ["training the CNN, images/s", *(f"batch {batch}" for batch in batches)]
    columns += [f"Rooflight is, batch {batch}" for batch in batches] + ["first step", "peak memory"]
    rows = tuple(
        (row.variant, *_cells([by_name[row.variant, batch] for batch in batches], row))
        for row in sorted(largest, key=lambda row: -row.samples_per_second)
    )
    place = result.environment
    rounds = max(row.rounds for row in result.rows)
    caption = (
        f"{place.device}, {place.threads} cores, no GPU; medians of {rounds} rounds, interleaved; float32 unless "
        f"the row says otherwise; ratios are of `rooflight` in float32. From `benchmarks/results/{name}`."
    )
    return f"{markdown(Table(columns=tuple(columns), rows=rows))}\n\n{caption}"


def _cells(rows: list[Row], at_largest: Row) -> list[str]:
    rates = [f"{row.samples_per_second:,.0f}" for row in rows]
    ratios = [f"{row.rooflight_ratio:.2f}×" for row in rows]
    return [*rates, *ratios, f"{at_largest.first_step_seconds:.1f} s", f"{at_largest.peak_bytes / 2**30:.2f} GiB"]


if __name__ == "__main__":
    main()
