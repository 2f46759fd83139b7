#!/usr/bin/env bash
# Runs `docker compose` on this deployment: compose.sh ps, compose.sh logs --follow blue, compose.sh exec database psql …
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=blue-green.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/blue-green.sh"
compose "$@"
