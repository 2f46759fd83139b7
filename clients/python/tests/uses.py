"""Uses of the client that a type checker accepts, and one that it does not. Nothing runs them: `test_package.py` has them
checked."""

from decimal import Decimal

from candlewick import Candle, CandleEvent, Candlewick


def types(url: str) -> None:
    """The type of prices is known from `prices`."""
    exact: list[Candle[Decimal]] = list(Candlewick(url).candles("EURUSD", "M1"))
    texts: list[Candle[str]] = list(Candlewick(url, prices=str).candles("EURUSD", "M1"))
    double: float = Candlewick(url, prices=float).latest()[0].candle.close
    print(exact, texts, double)
    for event in Candlewick(url).live(("EURUSD", "M1")):
        if isinstance(event, CandleEvent):
            price: Decimal = event.candle.close
            print(price)
        else:
            kind: str = event.kind
            print(kind)
    # mypy also complains of a comment that hides no error.
    wrong: str = Candlewick(url).latest()[0].candle.close  # type: ignore[assignment]
    print(wrong)
