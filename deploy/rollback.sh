#!/usr/bin/env bash
# Rolls back to the previous version, or to the version with the given digest:
#   rollback.sh [sha256:DIGEST]
# This works like deploy.sh and has the same exit codes, but does not migrate: migrations only add, so older versions run on
# newer tables. Another call without a digest goes one version further back, never forward.
set -euo pipefail
MIGRATE=no exec "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/deploy.sh" "${1:---previous}" "${@:2}"
