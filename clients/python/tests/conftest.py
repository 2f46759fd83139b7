"""Fixtures: a service on an empty SQLite file, and clients of it."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from support import KEY, TOKEN, Service

from candlewick import Candlewick


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path).start()
    yield service
    service.kill()


@pytest.fixture
def client(service: Service) -> Iterator[Candlewick[Decimal]]:
    with Candlewick(service.url, TOKEN, key=KEY) as client:
        yield client
