#!/usr/bin/env bash
# Brings the version before back, or the one that is named:
#   rollback.sh [sha256:DIGEST]
# As deploy.sh does it, exit codes included, but without migrating: tables only ever grow, so older versions run on them.
# Called again without a digest it goes one version further back, never forth.
set -euo pipefail
MIGRATE=no exec "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/deploy.sh" "${1:---previous}" "${@:2}"
