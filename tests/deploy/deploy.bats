#!/usr/bin/env bats
# Tests of deploy.sh on a host that exists only in a folder, above all of failures.

load host

@test "the first deployment migrates, starts the version, switches the proxy and runs the smoke test" {
    run -0 deploy "$(digest 1)"
    says "$(digest 1) is live"
    equal "$(serves)" "$(digest 1)"
    equal "$(cat "$HOST/migrated")" "registry.example.com/candlewick@$(digest 1)"
    equal "$(calls "smoke https://candles.example.com .* expects revision-of-registry.example.com/candlewick@$(digest 1)")" 1
}

@test "the next version runs beside the last one until its smoke test, and then alone" {
    deploy "$(digest 1)"
    forget_calls
    run -0 deploy "$(digest 2)"
    equal "$(serves)" "$(digest 2)"
    equal "$(running)" 1
    # Settle, pull, migrate, start, switch, smoke test, and only then drain.
    order=$(grep -oE '^pull|run --rm -T --no-deps migrate|up --detach --no-deps green|caddy reload|^smoke|stop blue' "$HOST/calls" | paste -sd' ')
    equal "$order" 'caddy reload pull run --rm -T --no-deps migrate up --detach --no-deps green caddy reload smoke stop blue'
}

@test "the proxy is not switched to a version that never becomes healthy" {
    deploy "$(digest 1)"
    digest 2 >"$HOST/unhealthy"
    run -1 deploy "$(digest 2)"
    says 'green is not healthy within 1 s (running unhealthy)'
    says 'what it said last'
    says 'FAILED before any request was sent to the new version'
    equal "$(serves)" "$(digest 1)"
    equal "$(running)" 1
    equal "$(calls CANDLEWICK_UPSTREAM=green)" 0
}

@test "a healthy version that fails the smoke test is rolled back, and the previous version is tested" {
    deploy "$(digest 1)"
    digest 2 >"$HOST/wrong"
    forget_calls
    run -1 deploy "$(digest 2)"
    says "$(digest 1) serves and answers as it should; the new version is NOT live."
    equal "$(serves)" "$(digest 1)"
    equal "$(running)" 1
    equal "$(grep -o '^smoke .*' "$HOST/calls" | awk '{ print $3, $5 }' | paste -sd' ')" "green $(digest 2) blue $(digest 1)"
    # The same version can be deployed again.
    rm "$HOST/wrong"
    run -0 deploy "$(digest 2)"
    equal "$(serves)" "$(digest 2)"
}

@test "a rollback that fails, too, is reported in capitals" {
    deploy "$(digest 1)"
    { digest 1; digest 2; } >"$HOST/wrong"
    run -3 deploy "$(digest 2)"
    says 'THE PREVIOUS VERSION DOES NOT ANSWER AS IT SHOULD, EITHER'
    says 'needs somebody now'
    # The previous version is the lesser evil, so it is left running.
    equal "$(serves)" "$(digest 1)"
}

@test "the very first version has nothing to go back to" {
    digest 1 >"$HOST/wrong"
    run -3 deploy "$(digest 1)"
    says 'no version before this one to go back to'
    equal "$(running)" 0
    rm "$HOST/wrong"
    run -0 deploy "$(digest 1)"
    equal "$(serves)" "$(digest 1)"
}

@test "an image that the registry does not have changes nothing" {
    deploy "$(digest 1)"
    digest 2 >"$HOST/unpullable"
    run -1 deploy "$(digest 2)"
    says 'FAILED before anything was changed'
    equal "$(serves)" "$(digest 1)"
    equal "$(calls 'up .*green')" 0
}

@test "a migration that fails leaves the live version as it is" {
    deploy "$(digest 1)"
    touch "$HOST/migration-fails"
    run -1 deploy "$(digest 2)"
    says 'FAILED before anything was changed'
    equal "$(serves)" "$(digest 1)"
    equal "$(calls 'up .*green')" 0
}

@test "a proxy that accepts no commands leaves the previous version live" {
    deploy "$(digest 1)"
    touch "$HOST/proxy-fails"
    run -1 deploy "$(digest 2)"
    says 'the proxy could not be switched to green'
    says "$(digest 1) serves and answers as it should; the new version is NOT live."
    equal "$(serves)" "$(digest 1)"
    rm "$HOST/proxy-fails"
    run -0 deploy --settle
    says "$(digest 1) is live and answers as it should"
    equal "$(running)" 1
}

@test "a proxy that cannot be switched back is switched back by the next run" {
    deploy "$(digest 1)"
    digest 2 >"$HOST/wrong"
    echo blue >"$HOST/proxy-refuses"
    # Without the repair at the start, which this proxy would refuse.
    sed -i 's/^settle >&2/: settle >\&2/' "$HOST/deploy/deploy.sh"
    run -3 deploy "$(digest 2)"
    says 'THE PREVIOUS VERSION DOES NOT ANSWER AS IT SHOULD, EITHER'
    # The wrong version is better than none.
    equal "$(serves)" "$(digest 2)"
    rm "$HOST/proxy-refuses"
    cp "$BATS_TEST_DIRNAME/../../deploy/deploy.sh" "$HOST/deploy/"
    run -0 deploy --settle
    equal "$(serves)" "$(digest 1)"
    equal "$(running)" 1
}

@test "a docker that does not work changes nothing, and nothing is known to serve" {
    deploy "$(digest 1)"
    touch "$HOST/broken"
    run -3 deploy "$(digest 2)"
    says 'FAILED before anything was changed, AND THE PREVIOUS VERSION DOES NOT ANSWER'
    rm "$HOST/broken"
    equal "$(serves)" "$(digest 1)"
}

@test "a failure of both the new and the previous version is reported" {
    deploy "$(digest 1)"
    { digest 1; digest 2; } >"$HOST/unhealthy"
    digest 1 >"$HOST/wrong"
    run -3 deploy "$(digest 2)"
    says 'AND THE PREVIOUS VERSION DOES NOT ANSWER AS IT SHOULD, EITHER'
    says 'needs somebody now'
}

@test "deploying the live version only runs the smoke test" {
    deploy "$(digest 1)"
    forget_calls
    run -0 deploy "$(digest 1)"
    says "$(digest 1) is live and answers as it should"
    equal "$(calls '^pull')" 0
    equal "$(calls '^smoke')" 1
    equal "$(calls 'stop')" 0
    digest 1 >"$HOST/wrong"
    run -3 deploy "$(digest 1)"
    says 'does NOT answer as it should'
}

@test "of two runs at once, the second waits, and neither harms the other" {
    deploy "$(digest 1)"
    pause
    "$HOST/deploy/deploy.sh" "$(digest 2)" >"$HOST/first" 2>&1 3>&- &
    first=$!
    until_paused
    # The first run holds the lock and is in its smoke test.
    LOCK_WAIT=0 run -2 deploy "$(digest 3)"
    says 'another run is at work'
    says 'the other run has not ended in time'
    "$HOST/deploy/deploy.sh" "$(digest 3)" >"$HOST/second" 2>&1 3>&- &
    second=$!
    until grep -q 'another run is at work' "$HOST/second"; do kill -0 "$second"; done
    equal "$(cat "$HOST/deploy/state/live")" blue
    echo go >"$HOST/resume"
    wait "$first"
    wait "$second"
    equal "$(serves)" "$(digest 3)"
    equal "$(awk '{ print $2 }' "$HOST/deploy/state/history" | paste -sd' ')" "$(digest 1) $(digest 2) $(digest 3)"
    equal "$(running)" 1
}

@test "the next run repairs a run that was killed after the switch" {
    deploy "$(digest 1)"
    pause
    "$HOST/deploy/deploy.sh" "$(digest 2)" >/dev/null 2>&1 3>&- &
    first=$!
    until_paused
    kill -KILL "$first"
    wait "$first" || true
    echo go >"$HOST/resume"
    # The new version has not passed its smoke test.
    equal "$(serves)" "$(digest 2)"
    run -0 deploy --settle
    equal "$(serves)" "$(digest 1)"
    equal "$(running)" 1
}

@test "a run that is terminated after the switch goes back by itself" {
    deploy "$(digest 1)"
    pause
    "$HOST/deploy/deploy.sh" "$(digest 2)" >"$HOST/said" 2>&1 3>&- &
    first=$!
    until_paused
    kill -TERM "$first"
    echo go >"$HOST/resume"
    code=0
    wait "$first" || code=$?
    equal "$code" 1
    equal "$(serves)" "$(digest 1)"
    equal "$(running)" 1
}

@test "a live version that has died is started before anything else" {
    deploy "$(digest 1)"
    sed -i 's/^running/exited/' "$HOST/containers/blue"
    run -0 deploy --settle
    says 'blue was live and is not running as it should; starting it'
    equal "$(serves)" "$(digest 1)"
}

@test "a proxy that has stopped is started, and points at the live version" {
    deploy "$(digest 1)"
    deploy "$(digest 2)"
    sed -i 's/^running/exited/' "$HOST/containers/proxy"
    run -0 deploy --settle
    grep -q ^running "$HOST/containers/proxy"
    equal "$(serves)" "$(digest 2)"
}

@test "a live version that does not run does not prevent the next deployment" {
    deploy "$(digest 1)"
    digest 1 >"$HOST/unhealthy"
    run -0 deploy "$(digest 2)"
    says 'the version that was live does not run as it should'
    equal "$(serves)" "$(digest 2)"
}

@test "a new backup is made before the tables may change if the newest is too old" {
    deploy "$(digest 1)"
    run -0 deploy "$(digest 2)"
    equal "$(calls 'backup.sh$')" 0
    touch "$HOST/backup-is-old"
    forget_calls
    run -0 deploy "$(digest 3)"
    says 'making a backup before the tables may change'
    equal "$(grep -oE 'backup.sh$|no-deps migrate' "$HOST/calls" | paste -sd' ')" 'backup.sh no-deps migrate'
    touch "$HOST/backup-fails"
    run -1 deploy "$(digest 4)"
    says 'FAILED before anything was changed'
    equal "$(serves)" "$(digest 3)"
    equal "$(tail -n 1 "$HOST/migrated")" "registry.example.com/candlewick@$(digest 3)"
}

@test "monitoring that cannot be started is reported, and the new version stays live" {
    sed -i 's/^COMPOSE_PROFILES=.*/COMPOSE_PROFILES=postgres,monitoring/' "$HOST/deploy/.env"
    run -0 deploy "$(digest 1)"
    grep -q ^running "$HOST/containers/grafana"
    touch "$HOST/monitoring-fails"
    run -0 deploy "$(digest 2)"
    says 'grafana could not be started'
    equal "$(serves)" "$(digest 2)"
    equal "$(running)" 1
}

@test "nginx is switched by its own file" {
    sed -i 's/^PROXY=.*/PROXY=nginx/' "$HOST/deploy/.env"
    deploy "$(digest 1)"
    run -0 deploy "$(digest 2)"
    equal "$(serves)" "$(digest 2)"
    equal "$(cat "$HOST/deploy/state/proxy/upstream.conf")" 'server green:8000;'
}

@test "images of the last five versions are kept" {
    for number in 1 2 3 4 5 6 7; do deploy "$(digest "$number")"; done
    equal "$(grep -o '.$' "$HOST/images" | sort | paste -sd' ')" '3 4 5 6 7'
}

@test "invalid arguments do nothing" {
    run -2 deploy
    says 'deploy.sh sha256:DIGEST'
    run -2 deploy latest
    run -2 deploy sha256:abc
    run -2 deploy "$(digest 1)" "$(digest 2)"
    equal "$(cat "$HOST/calls")" ''
    rm "$HOST/deploy/.env"
    run -2 deploy "$(digest 1)"
    says 'run setup.sh first'
}

@test "invalid settings are refused before anything is done" {
    sed -i 's/^PROXY=.*/PROXY=traefik/' "$HOST/deploy/.env"
    run -2 deploy "$(digest 1)"
    says "PROXY in .env is 'traefik'"
    sed -i '/^PROXY=/d; /^IMAGE=/d' "$HOST/deploy/.env"
    run -2 deploy "$(digest 1)"
    says 'IMAGE is missing in .env'
    equal "$(cat "$HOST/calls")" ''
}

@test "containers can read their files, whatever the umask of the user who deploys" {
    umask 077
    deploy "$(digest 1)"
    equal "$(stat -c %a "$HOST/deploy/state/proxy" "$HOST/deploy/state/proxy/upstream.env" | paste -sd' ')" '755 644'
}

@test "a deployment does not wait for backups that are made elsewhere" {
    echo BACKUPS=elsewhere >>"$HOST/deploy/.env"
    touch "$HOST/backup-is-old" "$HOST/backup-fails"
    deploy "$(digest 1)"
    run -0 deploy "$(digest 2)"
    equal "$(calls backup)" 0
}
