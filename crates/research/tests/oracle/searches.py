"""Writes ../search/optuna.csv: what Optuna's TPE finds on the functions of ../search/functions.rs after 200 and after 400 trials.

    make oracle            searches the first SEEDS seeds again (2 unless it says otherwise), and fails if the file has other results
    make oracle WRITE=1    writes the file anew, in some twenty minutes
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


def main() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if "--write" in sys.argv:
        with FILE.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["function", "seed", *(f"{what} after {trials}" for trials in TRIALS for what in ("point", "best"))])
            writer.writerows(rows(SEEDS))
        return
    with FILE.open(newline="") as file:
        known = {(row[0], row[1]): row for row in csv.reader(file)}
    found = list(rows(int(os.environ.get("SEEDS", "2"))))
    if wrong := [row for row in found if known.get((row[0], row[1])) != row]:
        sys.exit(f"Optuna finds something else than {FILE.name} says: {wrong[0]}; see `make oracle WRITE=1`")
    print(f"{len(found)} searches by Optuna compared, none differs")


main()
