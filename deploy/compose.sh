#!/usr/bin/env bash
# `docker compose` for what is deployed here: compose.sh ps, compose.sh logs --follow blue, compose.sh exec database psql …
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"
compose "$@"
