#!/usr/bin/env bats
# Tests of rollback.sh, which goes back to a version that was live before.

load host

@test "without a digest, the previous version comes back and the tables stay as they are" {
    deploy "$(digest 1)"
    deploy "$(digest 2)"
    rm "$HOST/migrated"
    run -0 rollback
    says "going back to $(digest 1)"
    equal "$(serves)" "$(digest 1)"
    [ ! -e "$HOST/migrated" ]
}

@test "a second rollback does not go forward again" {
    deploy "$(digest 1)"
    deploy "$(digest 2)"
    run -0 rollback
    run -2 rollback
    says 'lists no version before this one'
    equal "$(serves)" "$(digest 1)"
    # It is the previous version of the next deployment.
    deploy "$(digest 3)"
    run -0 rollback
    equal "$(serves)" "$(digest 1)"
}

@test "a rollback needs no registry" {
    deploy "$(digest 1)"
    deploy "$(digest 2)"
    { digest 1; digest 2; } >"$HOST/unpullable"
    run -0 rollback
    equal "$(serves)" "$(digest 1)"
}

@test "with a digest, that version comes back" {
    for number in 1 2 3; do deploy "$(digest "$number")"; done
    run -0 rollback "$(digest 1)"
    equal "$(serves)" "$(digest 1)"
}

@test "a rollback to a version that now fails is undone" {
    deploy "$(digest 1)"
    deploy "$(digest 2)"
    digest 1 >"$HOST/wrong"
    run -1 rollback
    says "$(digest 2) serves and answers as it should"
    equal "$(serves)" "$(digest 2)"
}

@test "when neither version answers as it should, the exit code calls for help" {
    deploy "$(digest 1)"
    deploy "$(digest 2)"
    { digest 1; digest 2; } >"$HOST/wrong"
    run -3 rollback
    says 'THE PREVIOUS VERSION DOES NOT ANSWER AS IT SHOULD, EITHER'
    equal "$(serves)" "$(digest 2)"
}

@test "without a previous version, nothing happens" {
    run -2 rollback
    says 'lists no version before this one'
    deploy "$(digest 1)"
    run -2 rollback
    says 'lists no version before this one'
    equal "$(serves)" "$(digest 1)"
}

@test "invalid arguments do nothing" {
    run -2 rollback v1.2
    run -2 rollback "$(digest 1)" "$(digest 2)"
    equal "$(cat "$HOST/calls")" ''
}
