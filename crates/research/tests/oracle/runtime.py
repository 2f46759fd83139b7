"""Runs Pine text by PyneCore, an independent runtime, on invented bars."""

import tempfile
import warnings
from pathlib import Path

# Both warn about files that they leave open themselves.
warnings.simplefilter("ignore", ResourceWarning)

import pine2pyne  # noqa: E402
from pynecore.core.script_runner import ScriptRunner  # noqa: E402
from pynecore.core.syminfo import SymInfo  # noqa: E402
from pynecore.types.ohlcv import OHLCV  # noqa: E402

from walks import Bar, Walk  # noqa: E402


def items(text: str, bars: list[Bar], walk: Walk) -> list[tuple]:
    """The yield of a script on each bar: the bar, its plots and the trades that it closed. A warning of the transpiler is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", pine2pyne.SemanticWarning)
        python = pine2pyne.transpile(text)
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "script.py"
        script.write_text(python)
        rows = iter([OHLCV(*bar) for bar in bars])
        runner = ScriptRunner(script, rows, symbol(walk), last_bar_index=len(bars) - 1, lossless_prices=True, lossless_volume=True)
        return list(runner.run_iter())


def plots(text: str, bars: list[Bar], walk: Walk) -> dict[str, list[float]]:
    """The plots of a script on each bar."""
    plotted: dict[str, list[float]] = {}
    for item in items(text, bars, walk):
        for name, value in item[1].items():
            plotted.setdefault(name, []).append(float(value))
    return plotted


def trades(text: str, bars: list[Bar], walk: Walk) -> list:
    """The trades that a script closed, in turn."""
    return [trade for item in items(text, bars, walk) for trade in item[2]]


def symbol(walk: Walk) -> SymInfo:
    period = {5: "5", 60: "60", 1440: "1D"}[walk.minutes]
    return SymInfo(
        prefix="WALK", description=walk.name, ticker=walk.name, currency="USD", basecurrency="EUR", period=period, type="forex",
        mintick=10.0**-walk.digits, pricescale=10**walk.digits, pointvalue=1.0, mincontract=0.000001, opening_hours=[],
        session_starts=[], session_ends=[], timezone="UTC",
    )
