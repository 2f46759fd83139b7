#!/usr/bin/env bats
# Going back to a version that was live before.

load host

@test "without a digest the version before comes back, and tables stay as they are" {
    deploy "$(digest 1)"
    deploy "$(digest 2)"
    rm "$HOST/migrated"
    run -0 rollback
    says "going back to $(digest 1)"
    equal "$(serves)" "$(digest 1)"
    [ ! -e "$HOST/migrated" ]
}

@test "two who go back at once do not go forth again" {
    deploy "$(digest 1)"
    deploy "$(digest 2)"
    run -0 rollback
    run -2 rollback
    says 'knows of no version before this one'
    equal "$(serves)" "$(digest 1)"
    # What is deployed after that has it as the one before.
    deploy "$(digest 3)"
    run -0 rollback
    equal "$(serves)" "$(digest 1)"
}

@test "going back needs no registry" {
    deploy "$(digest 1)"
    deploy "$(digest 2)"
    { digest 1; digest 2; } >"$HOST/unpullable"
    run -0 rollback
    equal "$(serves)" "$(digest 1)"
}

@test "with a digest that version comes back" {
    for number in 1 2 3; do deploy "$(digest "$number")"; done
    run -0 rollback "$(digest 1)"
    equal "$(serves)" "$(digest 1)"
}

@test "a version that is wrong now is not gone back to" {
    deploy "$(digest 1)"
    deploy "$(digest 2)"
    digest 1 >"$HOST/wrong"
    run -1 rollback
    says "$(digest 2) serves and answers as it should"
    equal "$(serves)" "$(digest 2)"
}

@test "when neither answers as it should, somebody is called" {
    deploy "$(digest 1)"
    deploy "$(digest 2)"
    { digest 1; digest 2; } >"$HOST/wrong"
    run -3 rollback
    says 'THE VERSION BEFORE DOES NOT ANSWER AS IT SHOULD, EITHER'
    equal "$(serves)" "$(digest 2)"
}

@test "where there is no version before, nothing happens" {
    run -2 rollback
    says 'knows of no version before this one'
    deploy "$(digest 1)"
    run -2 rollback
    says 'knows of no version before this one'
    equal "$(serves)" "$(digest 1)"
}

@test "a call that makes no sense does nothing" {
    run -2 rollback v1.2
    run -2 rollback "$(digest 1)" "$(digest 2)"
    equal "$(cat "$HOST/calls")" ''
}
