"""Starts the service on each store and sends it requests that schemathesis generates from its OpenAPI document.

scripts/contract calls this as `run.py SERVICE SCHEMATHESIS`, with TEST_DATABASE_URL naming a Postgres server on which
databases may be created. EXAMPLES is the number of requests for each operation and phase; SEED selects which are generated.
"""

import collections
import contextlib
import json
import os
import pathlib
import secrets
import subprocess
import sys
import tempfile
import threading
import urllib.parse

import psycopg

HERE = pathlib.Path(__file__).resolve().parent
EXAMPLES = os.environ.get("EXAMPLES") or "50"
SEED = os.environ.get("SEED") or "1"


def main(service, schemathesis):
    print(f"contract: EXAMPLES={EXAMPLES} SEED={SEED}", flush=True)
    with postgres_database() as postgres:
        stores = {"sqlite": "sqlite://contract.db", "postgres": postgres}
        findings = [finding for store, url in stores.items() for finding in check(store, url, service, schemathesis)]
    for finding in findings:
        print(f"contract: {finding}", file=sys.stderr)
    print(f"contract: {len(findings)} findings", flush=True)
    return 1 if findings else 0


@contextlib.contextmanager
def postgres_database():
    """A new database on the server, with a name like those of the tests, which is dropped at the end."""
    server = os.environ["TEST_DATABASE_URL"]
    name = f"candlewick_test_contract_{secrets.token_hex(8)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"create database {name}")
        try:
            yield urllib.parse.urlsplit(server)._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(f"drop database {name} with (force)")


def check(store, url, service, schemathesis):
    """Yields each finding about the service on this store."""
    keys = {"MT5_API_KEY": secrets.token_hex(16), "INTERNAL_API_TOKEN": secrets.token_hex(16), "RESEARCH_API_KEY": secrets.token_hex(16)}
    with tempfile.TemporaryDirectory() as folder:
        running = Service(service, folder, {"DATABASE_URL": url, **keys})
        try:
            address = running.wait_until_ready()
            print(f"contract: {store} at {address}", flush=True)
            command = [schemathesis, "--config-file", HERE / "schemathesis.toml", "run", "--no-color", "--seed", SEED]
            command += ["--checks", "all", "--phases", "examples,coverage,fuzzing,stateful"]
            command += ["--max-examples", EXAMPLES, f"{address}/api/v1/openapi.json"]
            environment = os.environ | keys | {"PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1"}
            ended = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
        finally:
            code = running.stop()
    statuses = collections.Counter(line["status"] for line in running.requests())
    print(f"contract: {store}: {statuses.total()} requests by status: {dict(sorted(statuses.items()))}", flush=True)
    if ended.returncode != 0:
        print(ended.stdout, flush=True)
        yield f"{store}: schemathesis has findings, see above; EXAMPLES={EXAMPLES} SEED={SEED} repeats them"
    if code != 0:
        yield f"{store}: the service ended with {code}"
    # If all requests were refused, the run would find nothing.
    for status in (200, 201, 422):
        if statuses[status] == 0:
            yield f"{store}: no request was answered with {status}"
    for line in running.lines:
        if line["level"] == "ERROR" or "panicked" in json.dumps(line):
            yield f"{store}: the log says {json.dumps(line)}"


class Service:
    """The running service and all that it logged."""

    def __init__(self, service, folder, variables):
        limits = dict.fromkeys(("RATE_LIMIT_INGEST", "RATE_LIMIT_QUERY", "RATE_LIMIT_RESEARCH", "RATE_LIMIT_ANONYMOUS"), "off")
        # At the level debug, the log has a line for every request.
        environment = {
            "PORT": "0",
            "LOG_FORMAT": "json",
            "LOG_LEVEL": "debug",
            "DOCS_ENABLED": "true",
            **limits,
            **variables,
        }
        self.lines = []
        # The log may have these messages in either order.
        self.awaited = {"listening", "ready"}
        self.ready = threading.Event()
        self.process = subprocess.Popen(
            [service], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for text in self.process.stdout:
            try:
                line = json.loads(text)
            except ValueError:
                # The banner, or a panic's message.
                line = {"level": "", "message": text}
            self.lines.append(line)
            self.awaited.discard(line.get("message"))
            if not self.awaited:
                self.ready.set()
        self.ready.set()

    def wait_until_ready(self):
        if not self.ready.wait(timeout=60) or self.process.poll() is not None:
            sys.exit(f"contract: the service did not start: {self.lines}")
        listening = next(line for line in self.lines if line.get("message") == "listening")
        return f"http://{listening['address']}"

    def requests(self):
        return (line for line in self.lines if line.get("message") == "request")

    def stop(self):
        self.process.terminate()
        try:
            return self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
        finally:
            self.reader.join()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
