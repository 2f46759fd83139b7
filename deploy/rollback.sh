#!/usr/bin/env bash
# Rolls back to the previous version, or to the version with the given digest:
#   rollback.sh [sha256:DIGEST]
# This works like deploy.sh and has the same exit codes, but it does not migrate the database, because older versions run on
# newer tables: migrations only ever add. Another call without a digest goes one version further back, never forward.
set -euo pipefail
MIGRATE=no exec "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/deploy.sh" "${1:---previous}" "${@:2}"
