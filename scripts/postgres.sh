# Sourced, not run: finds or installs PostgreSQL's server binaries and runs them as a user that they accept.
# shellcheck shell=bash

# PostgreSQL refuses to run as root, so root runs it as another user.
server_user=''
if [ "$(id -u)" -eq 0 ]; then
    server_user=nobody
    ! id postgres >/dev/null 2>&1 || server_user=postgres
fi
as_server_user() {
    if [ -z "$server_user" ]; then
        "$@"
    elif command -v runuser >/dev/null; then
        runuser -u "$server_user" -- "$@"
    else
        su -s /bin/sh "$server_user" -c "$(printf '%q ' "$@")"
    fi
}

# The folder of the binaries. The script that sources this sets it from find_binaries.
bin=''

# Prints the folder with the newest server binaries, version 14 or later.
find_binaries() {
    local candidate version best='' best_version=13
    for candidate in "$(dirname "$(readlink -f "$(command -v initdb || echo /none/initdb)")")" \
        /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/libexec/postgresql* /opt/homebrew/opt/postgresql*/bin \
        /usr/local/opt/postgresql*/bin; do
        if ! [ -x "$candidate/initdb" ] || ! [ -x "$candidate/pg_ctl" ] || ! [ -x "$candidate/psql" ]; then continue; fi
        version=$("$candidate/initdb" --version | sed -E 's/[^0-9]*([0-9]+).*/\1/')
        if [ "$version" -gt "$best_version" ]; then best=$candidate best_version=$version; fi
    done
    [ -n "$best" ] && echo "$best"
}

install_server() {
    local sudo=''
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2>/dev/null || return 1
        sudo='sudo -n'
    fi
    say 'installing PostgreSQL from the system packages'
    if command -v apt-get >/dev/null; then
        $sudo apt-get update -qq >&2
        $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >&2
    elif command -v dnf >/dev/null; then
        $sudo dnf install -y -q postgresql-server >&2
    elif command -v apk >/dev/null; then
        $sudo apk add -q postgresql >&2
    else
        return 1
    fi
}

# Prints a port below those that Linux gives to outgoing connections, so that a server that is stopped can use its port again.
free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 12000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
}

# Creates the data folder $1 with the superuser postgres, whose password is in file $2. Its server listens on the loopback
# address and on a socket in folder $3. Further arguments go to initdb.
init_data() {
    local data=$1 password_file=$2 sockets=$3 locale
    shift 3
    for locale in C.UTF-8 C; do
        as_server_user "$bin/initdb" -D "$data" -U postgres -A scram-sha-256 --pwfile="$password_file" \
            -E UTF8 --locale="$locale" -N "$@" >"$data.initdb.log" 2>&1 && break
        rm -rf "$data"
    done
    [ -d "$data" ] || { cat "$data.initdb.log" >&2; return 1; }
    printf '%s\n' "listen_addresses = '127.0.0.1'" "unix_socket_directories = '$sockets'" >>"$data/postgresql.conf"
}
