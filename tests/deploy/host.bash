# Loaded by the tests beside it: gives each test its own host, with the project's scripts and a fake docker.
# shellcheck shell=bash

digest() { printf 'sha256:%064d\n' "$1"; }

bats_require_minimum_version 1.5.0

setup() {
    export HOST=$BATS_TEST_TMPDIR/host
    mkdir -p "$HOST/deploy/secrets"
    cp "$BATS_TEST_DIRNAME"/../../deploy/*.sh "$HOST/deploy/"
    cp "$BATS_TEST_DIRNAME/fake/smoke.sh" "$HOST/deploy/smoke.sh"
    printf '%s\n' SITE=candles.example.com ENVIRONMENT=staging IMAGE=registry.example.com/candlewick \
        COMPOSE_PROFILES=postgres PROXY=caddy >"$HOST/deploy/.env"
    export PATH=$BATS_TEST_DIRNAME/fake:$PATH
    # Keeps the waits short for versions that never become healthy.
    export HEALTHY_WITHIN=1 REACHABLE_WITHIN=1 RELOAD_PAUSE=0
    export SSH_HOST=candles.example.com SSH_USER=deploy SSH_KEY='a private key' SSH_KNOWN_HOSTS='candles.example.com ssh-ed25519 AAAA'
    touch "$HOST/calls" "$HOST/images"
}

deploy() { "$HOST/deploy/deploy.sh" "$@"; }
rollback() { "$HOST/deploy/rollback.sh" "$@"; }
remote() { "$HOST/deploy/remote.sh" "$@"; }

# Prints the digest of the running container that the proxy sends requests to.
serves() {
    local state image
    read -r state image <"$HOST/containers/$(cat "$HOST/proxy")"
    [ "$state" = running ] && echo "${image##*@}"
}
running() { grep -l ^running "$HOST/containers/blue" "$HOST/containers/green" 2>/dev/null | wc -l; }
calls() { grep -c -- "$1" "$HOST/calls" || true; }
forget_calls() { : >"$HOST/calls"; }

# pause makes the next smoke test wait, and until_paused waits until it does. `echo go >"$HOST/resume"` lets it continue.
pause() { mkfifo "$HOST/pause" "$HOST/paused"; }
until_paused() {
    # Opened for reading and writing, so that neither waits for the other end.
    exec 4<>"$HOST/paused"
    read -r -t 60 -u 4 _ || { cat "$HOST"/deploy/state/log/*.log "$HOST/calls" >&2; return 1; }
    exec 4>&-
}

# A function of our own, because that of bats needs a library.
equal() { [ "$1" = "$2" ] || { printf 'expected: %s\nbut was:  %s\n' "$2" "$1" >&2; return 1; }; }
# shellcheck disable=SC2154  # run sets it
says() { [[ $output == *"$1"* ]] || { printf 'expected to read: %s\nbut read: %s\n' "$1" "$output" >&2; return 1; }; }
