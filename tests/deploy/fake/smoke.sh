#!/usr/bin/env bash
# Stands in for deploy/smoke.sh: fails if the proxy points to a digest that is listed in $HOST/wrong, or to nothing that runs.
set -euo pipefail
colour=$(cat "$HOST/proxy")
read -r state image <"$HOST/containers/$colour"
echo "smoke $* $colour $state ${image##*@} expects $EXPECT_REVISION" >>"$HOST/calls"
# Waits here if a test wants to act in the middle of a run.
if [ -p "$HOST/pause" ]; then
    mv "$HOST/pause" "$HOST/resume"
    # Opened for reading and writing, so that nobody has to be at the other end yet.
    exec 3<>"$HOST/resume"
    echo waiting >"$HOST/paused"
    read -r -u 3 _
fi
[ "$state" = running ] && ! grep -qxF "${image##*@}" "$HOST/wrong" 2>/dev/null
