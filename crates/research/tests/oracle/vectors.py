"""Writes vectors/*.csv: invented bars, and what the oracles make of them. An empty cell is not compared.

    make oracle            compares, and fails if the files in the tree are others
    make oracle WRITE=1    writes them anew
"""

import math
import sys
from pathlib import Path

import numpy as np

import functions
import runtime
from walks import WALKS, Walk, bars

FOLDER = Path(__file__).parent / "vectors"


def cell(number: float) -> str:
    return "" if math.isnan(number) else f"{number:.13g}"


def columns_of(walk: Walk) -> list[tuple[str, list[str]]]:
    rows = bars(walk)
    times = [str(row.time) for row in rows]
    columns = [("time", times)]
    for name in ("open", "high", "low", "close", "volume"):
        columns.append((name, [repr(getattr(row, name)) for row in rows]))
    prices = [np.array([getattr(row, name) for row in rows]) for name in ("open", "high", "low", "close", "volume")]
    for text, skip, oracle, compute in functions.ORACLES:
        if skip is None:
            # Ten lengths later nothing is left of another start.
            skip = 10 * functions.N
        for place, result in enumerate(compute(*prices)):
            cells = [cell(float(number)) if bar >= skip else "" for bar, number in enumerate(result)]
            columns.append((f"{text}|{place}|{oracle}", cells))
    plotted = runtime.plots(functions.script(functions.PYNECORE), rows, walk)
    for call, (text, results) in enumerate(functions.PYNECORE):
        for place in range(max(results, 1)):
            columns.append((f"{text}|{place}|PyneCore", [cell(number) for number in plotted[f"r{call}_{place}"]]))
    return columns


def text_of(walk: Walk) -> str:
    columns = columns_of(walk)
    header = ";".join(name for name, _ in columns)
    rows = (";".join(cells) for cells in zip(*(cells for _, cells in columns), strict=True))
    return header + "\n" + "\n".join(rows) + "\n"


def main() -> None:
    stale = []
    for walk in WALKS:
        path, text = FOLDER / f"{walk.name}.csv", text_of(walk)
        if "--write" in sys.argv:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            stale.append(path.name)
    if stale:
        sys.exit(f"{', '.join(stale)}: the oracles say something else than these files; see `make oracle WRITE=1`")


main()
