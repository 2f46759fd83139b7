"""Invented bars: random walks from a counter, so that every run makes the same ones."""

from typing import NamedTuple


class Bar(NamedTuple):
    time: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class Walk(NamedTuple):
    name: str
    bars: int
    seed: int
    price: float
    step: float
    # The part of bars that do not move.
    flat: float
    minutes: int
    digits: int


# Hours of a currency pair, flat five minutes of a small price, and days of a large one.
WALKS = [
    Walk("hours", 160, 1, 1.1, 0.004, 0.05, 60, 5),
    Walk("flat", 160, 2, 0.003, 0.01, 0.6, 5, 6),
    Walk("days", 160, 3, 61_000.0, 0.05, 0.0, 1440, 1),
]


def bars(walk: Walk) -> list[Bar]:
    state = walk.seed

    def unit() -> float:
        nonlocal state
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (state >> 33) / 2**31

    # 2024-01-01, a Monday.
    time, price, made = 1_704_067_200_000, walk.price, []
    for _ in range(walk.bars):
        is_gap = unit() < 0.03
        time += walk.minutes * 60_000 * (10 if is_gap else 1)
        if is_gap:
            price *= 1 + walk.step * 4 * (unit() - 0.5)
        moves = 0 if unit() < walk.flat else 1
        opened = round(price, walk.digits)
        close = round(opened * (1 + moves * walk.step * (unit() - 0.5)), walk.digits)
        high = round(max(opened, close) + moves * opened * walk.step * 0.4 * unit(), walk.digits)
        low = round(min(opened, close) - moves * opened * walk.step * 0.4 * unit(), walk.digits)
        made.append(Bar(time, opened, high, low, close, float(int(1 + unit() * 1000))))
        price = close
    return made
