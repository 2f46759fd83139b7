"""Writes ../search/optuna.csv: what Optuna's TPE finds on the functions of ../search/functions.rs after 200 and after 400 trials.

    make oracle            computes the value of each point of the file, searches the first SEEDS seeds again (2 unless it says
                           otherwise), and fails if the file has other values, or a search ends better or worse than all of the file's
    make oracle WRITE=1    writes the file anew, in some twenty minutes

The last bit of a logarithm differs between processors, and one such bit may lead a search to other points. So a search is not compared
point by point.
"""

import csv
import math
import os
import sys
from pathlib import Path

import optuna

FILE = Path(__file__).parent.parent / "search" / "optuna.csv"
# Whole numbers from 0 to below this in each dimension.
VALUES = 100
SEEDS = 50
TRIALS = (200, 400)


def sphere(x):
    return -sum(((value - best) / 100.0) ** 2 for value, best in zip(x, [31.0, 77.0, 50.0], strict=True))


def ridge(x):
    a, b = (x[0] - 20.0) / 100.0, (x[1] - 60.0) / 100.0
    return -((a - b) ** 2 * 20.0 + (a + b) ** 2)


def ripples(x):
    def of(value, best):
        d = (value - best) / 25.0
        return d * d + 0.5 * (1.0 - math.cos(math.tau * d * 1.5))

    return -(of(x[0], 64.0) + of(x[1], 23.0))


def five_dimensions(x):
    best, weights = [10.0, 35.0, 60.0, 85.0, 45.0], [5.0, 1.0, 3.0, 0.2, 2.0]
    return -sum(weight * abs((value - best) / 100.0) for value, best, weight in zip(x, best, weights, strict=True))


def plateau(x):
    distance = ((x[0] - 40.0) / 18.0) ** 2 + ((x[1] - 70.0) / 18.0) ** 2
    return -(1.0 - math.exp(-distance))


# In the order of the functions in functions.rs.
FUNCTIONS = [("sphere", 3, sphere), ("ridge", 2, ridge), ("ripples", 2, ripples), ("five dimensions", 5, five_dimensions), ("plateau", 2, plateau)]


def search(dimensions: int, function, seed: int) -> list[str]:
    """The best point after each number of trials, and its value."""
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    names = [f"p{place}" for place in range(dimensions)]
    cells, done = [], 0
    for trials in TRIALS:
        study.optimize(lambda trial: function([trial.suggest_int(name, 0, VALUES - 1) for name in names]), n_trials=trials - done)
        done = trials
        best = study.best_trial
        cells += [" ".join(str(best.params[name]) for name in names), f"{best.value:.12g}"]
    return cells


def rows(seeds: int):
    for name, dimensions, function in FUNCTIONS:
        for seed in range(seeds):
            yield [name, str(seed), *search(dimensions, function, seed)]


def write() -> None:
    with FILE.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["function", "seed", *(f"{what} after {trials}" for trials in TRIALS for what in ("point", "best"))])
        writer.writerows(rows(SEEDS))


def check_values(known: list[list[str]]) -> None:
    """Each value of the file is that of its point."""
    functions = {name: function for name, _, function in FUNCTIONS}
    for name, _, *cells in known:
        for point, value in zip(cells[::2], cells[1::2], strict=True):
            expected = functions[name]([int(number) for number in point.split()])
            if not math.isclose(float(value), expected, rel_tol=1e-9, abs_tol=1e-12):
                sys.exit(f"{FILE.name} has the value {value} of {name} at {point}, where it is {expected}")


def check_search(known: list[list[str]], row: list[str]) -> None:
    """A search ends neither better nor worse than all of the file's."""
    for place, trials in enumerate(TRIALS):
        column = 3 + 2 * place
        values = [float(other[column]) for other in known if other[0] == row[0]]
        if not min(values) <= float(row[column]) <= max(values):
            sys.exit(
                f"Optuna finds {row[column]} on {row[0]} after {trials} trials with the seed {row[1]}, and from {min(values)} to "
                f"{max(values)} in {FILE.name}; see `make oracle WRITE=1`"
            )


def main() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if "--write" in sys.argv:
        return write()
    with FILE.open(newline="") as file:
        known = list(csv.reader(file))[1:]
    check_values(known)
    found = list(rows(int(os.environ.get("SEEDS", "2"))))
    for row in found:
        check_search(known, row)
    same = sum(row in known for row in found)
    print(f"{len(known)} searches by Optuna have the values of their points; {same} of {len(found)} that ran again found the same points")


main()
