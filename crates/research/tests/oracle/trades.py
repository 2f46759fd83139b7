"""Compares the trades of all strategies, under settings of every kind, with those that PyneCore makes of their scripts."""

import math
import subprocess
import sys

import runtime
from walks import Walk, bars

# A walk on which no two averages are equal to the last digit: which one is higher then is a matter of rounding.
WALK = Walk("trades", 1200, 7, 1.1, 0.004, 0.05, 60, 5)
# PyneCore rounds commissions to ten significant digits, as TradingView does, which the crate does not.
MONEY = 1e-6


def blocks(program: str) -> list[dict]:
    rows = ["time,open,high,low,close,volume"] + [",".join(map(repr, row)) for row in bars(WALK)]
    output = subprocess.run([program], input="\n".join(rows), capture_output=True, text=True, check=True).stdout
    made: list[dict] = []
    lines = iter(output.splitlines())
    for line in lines:
        name, _, rest = line.partition(" ")
        if name == "strategy":
            made.append({"strategy": rest, "trades": []})
        elif name == "script":
            made[-1]["script"] = "".join(f"{text}\n" for text in iter(lines.__next__, "end"))
        elif name == "trade":
            side, entry_bar, entry, exit_bar, exit_price, quantity, profit = rest.split()
            whole = (side, int(entry_bar), int(exit_bar))
            made[-1]["trades"].append((whole, float(entry), float(exit_price), float(quantity), float(profit)))
    return made


def differences(block: dict) -> list[str]:
    theirs = []
    for trade in runtime.trades(block["script"], bars(WALK), WALK):
        side = "long" if trade.size > 0 else "short"
        whole = (side, trade.entry_bar_index, trade.exit_bar_index)
        theirs.append((whole, trade.entry_price, trade.exit_price, abs(trade.size), trade.profit))
    found = []
    if len(theirs) != len(block["trades"]):
        found.append(f"{len(block['trades'])} trades, theirs {len(theirs)}")
    for place, (a, b) in enumerate(zip(block["trades"], theirs, strict=False)):
        prices = all(math.isclose(x, y, abs_tol=1e-9) for x, y in zip(a[1:3], b[1:3], strict=True))
        # A quotient that lies on a lot to the last digit may fall to either side.
        lots = math.isclose(a[3], b[3], abs_tol=1.5e-6)
        money = math.isclose(a[4], b[4], abs_tol=MONEY * (1 + abs(a[4])))
        if a[0] != b[0] or not (prices and lots and money):
            found.append(f"trade {place} is {a}, theirs {b}")
            break
    return found


def main() -> None:
    made = blocks(sys.argv[1])
    wrong, compared = 0, 0
    for block in made:
        compared += len(block["trades"])
        if found := differences(block):
            wrong += 1
            print(block["strategy"], "; ".join(found), flush=True)
    print(f"{compared} trades of {len(made)} scripts compared, {wrong} scripts differ")
    if wrong or compared < 1000:
        sys.exit(1)


main()
