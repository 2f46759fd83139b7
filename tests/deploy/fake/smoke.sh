#!/usr/bin/env bash
# Stands in for deploy/smoke.sh: fails where the proxy points at a digest that is listed in $HOST/wrong, or at nothing.
set -euo pipefail
colour=$(cat "$HOST/proxy")
read -r state image <"$HOST/containers/$colour"
echo "smoke $* $colour $state ${image##*@} expects $EXPECT_REVISION" >>"$HOST/calls"
# Where a test wants to meet the run half-way, it waits here.
if [ -p "$HOST/pause" ]; then
    mv "$HOST/pause" "$HOST/resume"
    # Open for both, so that nobody has to be at the other end yet.
    exec 3<>"$HOST/resume"
    echo waiting >"$HOST/paused"
    read -r -u 3 _
fi
[ "$state" = running ] && ! grep -qxF "${image##*@}" "$HOST/wrong" 2>/dev/null
