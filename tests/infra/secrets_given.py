"""Fails if a service of a compose file reads a secret that is not among its secrets."""

import sys

from ruamel.yaml import YAML

services = YAML(typ="safe").load(open(sys.argv[1]))["services"]
missing = [
    f"{name}: {variable} names the secret {path.rsplit('/', 1)[1]}, which is not among its secrets"
    for name, service in services.items()
    for variable, path in service.get("environment", {}).items()
    if str(path).startswith("/run/secrets/") and path.rsplit("/", 1)[1] not in service.get("secrets", [])
]
sys.exit("\n".join(missing) or 0)
