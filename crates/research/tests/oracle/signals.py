"""Compares the signals of all strategies, at defaults and at drawn parameters, with what PyneCore makes of their scripts."""

import math
import os
import subprocess
import sys

import runtime
from walks import Walk, bars

WALK = Walk("signals", 1200, 5, 1.1, 0.003, 0.05, 60, 5)
DRAWN = os.environ.get("DRAWN", "5")


def blocks(program: str) -> list[dict[str, str]]:
    rows = ["time,open,high,low,close,volume"] + [",".join(map(repr, row)) for row in bars(WALK)]
    output = subprocess.run([program, DRAWN], input="\n".join(rows), capture_output=True, text=True, check=True).stdout
    made: list[dict[str, str]] = []
    lines = iter(output.splitlines())
    for line in lines:
        name, _, rest = line.partition(" ")
        if name == "strategy":
            made.append({"strategy": rest})
        elif name == "script":
            made[-1]["script"] = "".join(f"{text}\n" for text in iter(lines.__next__, "end"))
        else:
            made[-1][name] = rest
    return made


def differences(block: dict[str, str]) -> list[str]:
    rules = [rule for rule in block if rule not in ("strategy", "script", "first")]
    script = block["script"]
    for rule in rules:
        script += f'plot({rule}, "{rule}")\n' if rule.endswith("Distance") else f'plot({rule} ? 1.0 : 0.0, "{rule}")\n'
    rows, first = bars(WALK), int(block["first"])
    plotted = runtime.plots(script, rows, WALK)
    found = []
    for rule in rules:
        theirs = plotted[rule]
        if rule.endswith("Distance"):
            ours = [float(number) for number in block[rule].split()]
        else:
            held = set(map(int, block[rule].split()))
            ours = [float(bar in held) for bar in range(len(rows))]
        pairs = enumerate(zip(ours, theirs, strict=True))
        wrong = [bar for bar, (a, b) in pairs if bar >= first and not (math.isclose(a, b, rel_tol=1e-9) or math.isnan(a) and math.isnan(b))]
        if wrong:
            found.append(f"{rule} differs on {len(wrong)} bars, first on {wrong[:5]}")
    return found


def main() -> None:
    made = blocks(sys.argv[1])
    wrong = 0
    for block in made:
        if found := differences(block):
            wrong += 1
            print(block["strategy"], "; ".join(found), flush=True)
    print(f"{len(made)} scripts compared, {wrong} differ")
    if wrong or len(made) < 100:
        sys.exit(1)


main()
