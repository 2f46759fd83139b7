#!/usr/bin/env bash
# Rolls back to the previous version, or to the one that is given:
#   rollback.sh [sha256:DIGEST]
# This works like deploy.sh and has its exit codes, but does not migrate: tables only ever grow, so older versions run on them.
# Another call without a digest goes one version further back, never forward.
set -euo pipefail
MIGRATE=no exec "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/deploy.sh" "${1:---previous}" "${@:2}"
