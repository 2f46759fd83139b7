"""Wrong keys, servers that are not candlewick's, proxies, private certificate authorities."""

from __future__ import annotations

import socket
import subprocess
from decimal import Decimal
from pathlib import Path

import pytest
from support import KEY, PIECE, TOKEN, Server, Service, answer, answers, candle, minutes, passing, plain, request_of

from candlewick import CandleEvent, Candlewick, CandlewickError

HTML = b"<html><body><h1>502 Bad Gateway</h1></body></html>"
BAD_GATEWAY = answer("502 Bad Gateway", "text/html", HTML)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that the client would make, which the test does not wait for."""
    made: list[float] = []
    monkeypatch.setattr("candlewick.transport.time.sleep", made.append)
    return made


def test_a_wrong_key_is_refused_with_its_code_at_once(service: Service, pauses: list[float]) -> None:
    for token, key, code, status in [
        ("wrong", None, "unauthorized", 401),
        (None, None, "unauthorized", 401),
        (None, KEY, "wrong_scope", 403),
    ]:
        with Candlewick(service.url, token, key=key) as client:
            for ask in (
                lambda: client.candles("EURUSD", "M1"),
                client.latest,
                lambda: client.to_polars("EURUSD", "M1"),
                lambda: client.live(("EURUSD", "M1")),
            ):
                with pytest.raises(CandlewickError) as refused:
                    list(ask())
                assert (refused.value.code, refused.value.status) == (code, status)
                assert refused.value.request_id and not refused.value.is_temporary
    with Candlewick(service.url, TOKEN) as client, pytest.raises(CandlewickError) as refused:
        client.post([candle()], symbol="EURUSD", timeframe="M1")
    assert refused.value.code == "wrong_scope"
    assert pauses == []


def test_pages_of_a_proxy_are_waited_out(service: Service, client: Candlewick[Decimal], pauses: list[float]) -> None:
    client.post(minutes(10), symbol="EURUSD", timeframe="M1")
    through = passing(service, most=lambda number: None)
    gateway = answers(BAD_GATEWAY)
    with Server(lambda connection, number: (gateway if number < 2 else through)(connection, number)) as proxy:
        behind = Candlewick(proxy.url, TOKEN)
        assert plain(behind.candles("EURUSD", "M1")) == service.stored()
    assert len(pauses) == 2
    with Server(answers(BAD_GATEWAY)) as proxy:
        behind = Candlewick(proxy.url, TOKEN, key=KEY, patience=0)
        for ask in (behind.latest, lambda: behind.post([candle()]), lambda: behind.to_polars("EURUSD", "M1")):
            with pytest.raises(CandlewickError, match="HTTP 502.* comes from a proxy") as failed:
                ask()
            assert (failed.value.code, failed.value.status) == ("unreadable", 502)
            assert failed.value.is_temporary


def test_the_service_says_how_long_to_wait(pauses: list[float]) -> None:
    problem = b'{"type":"about:blank","title":"Too Many Requests","status":429,"detail":"Wait.","code":"rate_limited"}'
    limited = answer("429 Too Many Requests", "application/problem+json", problem, "Retry-After: 7")
    fine = answer("200 OK", "application/json", b"[]", "X-More-After: false")
    with Server(answers(limited, limited, fine)) as server:
        assert Candlewick(server.url, TOKEN).latest() == []
    assert [int(pause) for pause in pauses] == [7, 7]
    # A pause that is longer than the patience is the caller's to make.
    with Server(answers(limited, fine)) as server, pytest.raises(CandlewickError, match="Wait.") as failed:
        Candlewick(server.url, TOKEN, patience=6).latest()
    assert (failed.value.code, failed.value.retry_after) == ("rate_limited", 7)


def test_answers_of_something_else_are_errors(pauses: list[float]) -> None:
    more = "X-More-After: false"
    for reply, code in [
        (answer("200 OK", "text/html", HTML), "unreadable"),
        (answer("200 OK", "application/json", b'{"candles":[]}', more), "unreadable"),
        (answer("200 OK", "application/json", b'[{"timestamp":1}]', more), "unreadable"),
        (answer("200 OK", "application/json", b'[{"timestamp":1', more), "unreadable"),
        # Without these headers a list would end too early.
        (answer("200 OK", "application/json", b"[]"), "unreadable"),
        (answer("200 OK", "application/json", b"[]", "X-More-After: true"), "unreadable"),
        # A redirect would take the token elsewhere.
        (answer("301 Moved Permanently", "text/html", b"", "Location: http://127.0.0.1:9/"), "unreadable"),
        (answer("404 Not Found", "text/html", HTML), "unreadable"),
        (answer("200 OK", "application/json", b"[]", more, length=500), "broke_off"),
        (answer("200 OK", "application/json", b"\x1f\x8b\x08\x00", "Content-Encoding: gzip", more), "broke_off"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "unreachable"),
        (b"", "unreachable"),
        (b"HTTP/1.1 200 OK\r\nX-More-After: fal", "unreachable"),
    ]:
        with Server(answers(reply)) as server, pytest.raises(CandlewickError) as failed:
            Candlewick(server.url, TOKEN, patience=0).latest()
        assert failed.value.code == code, reply
    with Server(answers(b"")) as gone:
        url = gone.url
    with pytest.raises(CandlewickError, match="check its address") as failed:
        Candlewick(url, TOKEN, patience=0).latest()
    assert failed.value.code == "unreachable"

    def say_nothing(connection: socket.socket, number: int) -> None:
        while connection.recv(PIECE):
            pass

    with Server(say_nothing) as silent, pytest.raises(CandlewickError) as failed:
        Candlewick(silent.url, TOKEN, timeout=0.2, patience=0).latest()
    assert failed.value.code == "timed_out"
    assert pauses == []


def test_a_service_may_be_below_a_path(pauses: list[float]) -> None:
    asked: list[bytes] = []

    def handle(connection: socket.socket, number: int) -> None:
        asked.append(request_of(connection).split(b"\r\n")[0])
        connection.sendall(answer("200 OK", "application/json", b"[]", "X-More-After: false"))

    with Server(handle) as proxy:
        assert Candlewick(f"{proxy.url}/market/", TOKEN).latest("A+B") == []
    assert asked == [b"GET /market/api/v1/latest?symbol=A%2BB HTTP/1.1"]
    assert pauses == []


def make_authority(folder: Path) -> dict[str, str]:
    """Makes an authority, and a certificate for localhost that it signed."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ("-newkey", "rsa:2048", "-nodes")
    openssl("req", "-x509", *new, "-days", "2", "-subj", "/CN=private authority", "-keyout", "ca.key", "-out", "ca.pem")
    openssl("req", *new, "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "request.pem")
    (folder / "names").write_text("subjectAltName=DNS:localhost")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
    openssl("x509", "-req", "-in", "request.pem", *signed, "-out", "cert.pem")
    return {"TLS_CERT": "cert.pem", "TLS_KEY": "key.pem"}


def test_a_private_authority_is_trusted_if_it_is_named(tmp_path: Path, pauses: list[float]) -> None:
    service = Service(tmp_path, **make_authority(tmp_path)).start()
    try:
        with Candlewick(service.url, TOKEN, key=KEY, ca_file=tmp_path / "ca.pem") as client:
            client.post(minutes(10), symbol="EURUSD", timeframe="M1")
            assert plain(client.candles("EURUSD", "M1")) == service.stored()
            assert len(client.to_polars("EURUSD", "M1")) == 10
            event = next(client.live(("EURUSD", "M1")))
            assert isinstance(event, CandleEvent) and event.candle.volume == 9
        for url, ca_file in [(service.url, None), (service.url.replace("localhost", "127.0.0.1"), tmp_path / "ca.pem")]:
            with pytest.raises(CandlewickError, match="name the certificate of your own authority") as refused:
                Candlewick(url, TOKEN, ca_file=ca_file).latest()
            assert refused.value.code == "untrusted"
        assert pauses == []
    finally:
        service.kill()
