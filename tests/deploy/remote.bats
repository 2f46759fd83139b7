#!/usr/bin/env bats
# Tests of deployments over ssh: the requests that a key may send, and broken connections.

load host

@test "a request returns the output and the exit code" {
    run -0 remote deploy "$(digest 1)"
    says "$(digest 1) is live"
    digest 2 >"$HOST/wrong"
    run -1 remote deploy "$(digest 2)"
    says 'the new version is NOT live.'
    run -0 remote status
    says "live: blue $(digest 1)"
    rm "$HOST/wrong"
    remote deploy "$(digest 2)"
    run -0 remote rollback
    equal "$(serves)" "$(digest 1)"
    run -0 remote rollback "$(digest 2)"
    equal "$(serves)" "$(digest 2)"
}

@test "the host's key is required, and nobody else can read the private key" {
    remote status
    grep -q 'StrictHostKeyChecking=yes' "$HOST/ssh-calls"
    grep -q 'UserKnownHostsFile=' "$HOST/ssh-calls"
    grep -qx 600 "$HOST/ssh-calls"
    run ! grep -q 'a private key' "$HOST/ssh-calls"
    SSH_KNOWN_HOSTS='' run ! remote status
    says 'an unknown host is never trusted'
}

@test "without a connection, nothing happens and the exit code says so" {
    remote deploy "$(digest 1)"
    touch "$HOST/ssh-fails"
    run -255 remote deploy "$(digest 2)"
    says 'no connection to candles.example.com'
    equal "$(serves)" "$(digest 1)"
}

@test "a connection that breaks half-way does not end the deployment" {
    remote deploy "$(digest 1)"
    touch "$HOST/ssh-breaks"
    pause
    run -255 remote deploy "$(digest 2)"
    says 'Send "settle" to learn which'
    # Its smoke test has not ended yet.
    until_paused
    rm "$HOST/ssh-breaks"
    echo go >"$HOST/resume"
    run -0 remote settle
    says "$(digest 2) is live and answers as it should"
    equal "$(serves)" "$(digest 2)"
    equal "$(running)" 1
}

@test "a key may not send other requests" {
    # shellcheck disable=SC2016  # nothing here is to be expanded
    for request in 'deploy latest' 'deploy' 'status; id' 'bash' "deploy $(digest 1) x" 'rollback ../../x' '' 'settle now' '$(id)'; do
        SSH_ORIGINAL_COMMAND=$request run -2 "$HOST/deploy/gate.sh"
        says 'requests are:'
    done
    equal "$(cat "$HOST/calls")" ''
}
