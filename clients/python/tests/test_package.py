"""The package: it installs, needs only the standard library, and its types are known to type checkers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support import KEY, TOKEN, Service, minutes

from candlewick import Candlewick

PACKAGE = Path(__file__).parent.parent


def run(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *map(str, arguments)], cwd=folder, capture_output=True, text=True)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which pip installed the package, and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    options = ("--no-build-isolation", "--no-index", "--disable-pip-version-check", "--root-user-action", "ignore")
    done = run("-m", "pip", "install", *options, "--target", folder, PACKAGE, folder=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_package_installs_alone_and_needs_only_the_standard_library(installed: Path, service: Service) -> None:
    assert sorted(each.name.partition("-")[0] for each in installed.iterdir()) == ["candlewick", "candlewick"]
    assert (installed / "candlewick" / "py.typed").exists()
    Candlewick(service.url, key=KEY).post(minutes(3), symbol="EURUSD", timeframe="M1")
    program = (
        f"import sys; sys.path.insert(0, {str(installed)!r})\n"
        f"from candlewick import Candlewick; service = Candlewick({service.url!r}, {TOKEN!r})\n"
        "print(len(list(service.candles('EURUSD', 'M1'))), service.export('all.csv', 'EURUSD', 'M1'))\n"
    )
    # Without any installed package.
    done = run("-I", "-S", "-c", program, folder=service.folder)
    assert (done.stdout, done.stderr) == ("3 all.csv\n", "")


def test_the_types_are_right(tmp_path: Path) -> None:
    """`uses.py` is among the files, and shows what type checkers know of the client."""
    done = run("-m", "mypy", "--cache-dir", tmp_path, "candlewick", "tests", folder=PACKAGE)
    assert done.returncode == 0, done.stdout
