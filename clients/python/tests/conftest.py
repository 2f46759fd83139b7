"""Fixtures: a service on an empty SQLite file, and clients of it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from support import KEY, TOKEN, Service

from candlewick import Candlewick


# A test that waits for something that never comes fails after this.
TEST_TIMEOUT_SECONDS = 240


@pytest.fixture(autouse=True)
def time_limit() -> Iterator[None]:
    """Ends a test that hangs."""

    def end(*_: object) -> None:
        raise TimeoutError(f"the test took longer than {TEST_TIMEOUT_SECONDS} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(TEST_TIMEOUT_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path).start()
    yield service
    service.kill()


@pytest.fixture
def client(service: Service) -> Iterator[Candlewick[Decimal]]:
    with Candlewick(service.url, TOKEN, key=KEY) as client:
        yield client
