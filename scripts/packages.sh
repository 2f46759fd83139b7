# Sourced, not run: finds programs on this machine or takes them from its packages. A Debian package is unpacked below target/
# and not installed, because that needs no root, and an installed service would start at once and at every boot.
# The script that sources this must define the function `say`.
# shellcheck shell=bash

packages=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/target/packages

# Runs a command. If another script is running the same command, waits for it to end first.
alone() {
    mkdir -p "$packages"
    if command -v flock >/dev/null; then (flock 9 && "$@" 9>&-) 9>"$packages/$1.lock"; else "$@"; fi
}

as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi; }
may_be_root() { as_root true 2>/dev/null; }

# Installs system packages, if this user may.
install_packages() { alone install_packages_now "$@"; }

install_packages_now() {
    command -v apt-get >/dev/null && may_be_root || return 1
    say "installing $* from the system packages"
    as_root apt-get update -qq >&2
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

# Servers are installed in sbin, which is not on every user's PATH.
on_this_machine() { PATH=$PATH:/usr/local/sbin:/usr/sbin command -v "$1"; }

# Downloads the package $1 into the current folder. If the system's package lists are missing or old, uses lists below target/.
download() {
    local apt=(apt-get -qq -o "Dir::State::lists=$packages/lists" -o "Dir::Cache=$packages/cache" -o APT::Sandbox::User=root)
    apt-get -qq download "$1" >/dev/null 2>&1 && return
    mkdir -p "$packages/lists/partial" "$packages/cache/archives/partial"
    "${apt[@]}" download "$1" >/dev/null 2>&1 && return
    { "${apt[@]}" update && "${apt[@]}" download "$1"; } >&2
}

# Unpacks the Debian package $1, unless that was done before, and prints its folder.
unpack() { alone unpack_once "$1"; }

unpack_once() {
    local folder=$packages/$1 work
    if [ ! -d "$folder" ]; then
        command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
        say "getting $1 from the system packages"
        mkdir -p "$packages"
        work=$(mktemp -d)
        if ! (cd "$work" && download "$1" && dpkg-deb -x ./*.deb unpacked && mv unpacked "$folder"); then
            rm -rf "$work"
            return 1
        fi
        rm -rf "$work"
    fi
    echo "$folder"
}

# Takes program $1 from its package and prints its path. $2 is the package if its name differs.
from_package() {
    local package=${2:-$1} folder program
    if command -v apt-get >/dev/null; then
        folder=$(unpack "$package") || return 1
        program=$(find "$folder/usr/sbin" "$folder/usr/bin" -name "$1" 2>/dev/null | head -n 1)
        [ -n "$program" ] && echo "$program"
    elif command -v dnf >/dev/null && may_be_root; then
        as_root dnf install -y -q "$package" >&2 && on_this_machine "$1"
    elif command -v apk >/dev/null && may_be_root; then
        as_root apk add -q "$package" >&2 && on_this_machine "$1"
    else
        return 1
    fi
}

find_program() { on_this_machine "$1" || from_package "$@"; }

# Writes a script that runs the unpacked program at path $1 with the libraries of the packages $2…, and prints its path.
with_libraries() {
    local program=$1 folder wrapper=$packages/${1##*/}-with-libraries libraries='' package
    shift
    for package in "$@"; do
        folder=$(unpack "$package") || return 1
        libraries=$libraries:$(dirname "$(find "$folder" -name '*.so.*' | head -n 1)")
    done
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s "$@"\n' "${libraries#:}" "$program" >"$wrapper"
    chmod 755 "$wrapper"
    echo "$wrapper"
}

# Prints the path of a Redis or Valkey server that runs. Debian's redis-server is a link to a program in redis-tools,
# which acts by the name that it is called by.
find_redis() {
    local folder program
    if ! program=$(on_this_machine redis-server || on_this_machine valkey-server); then
        folder=$(unpack redis-tools) && program=$folder/usr/bin/redis-server && ln -sf redis-check-rdb "$program" &&
            program=$(with_libraries "$program" libatomic1 libjemalloc2 liblzf1) || return 1
    fi
    "$program" --version >/dev/null 2>&1 && echo "$program"
}

# Prints the folder of the virtual environment that has the Python packages of the tests.
python_tools() {
    local root
    root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
    install_python_packages "$root/target/python" "$root/tests/python/requirements.txt" && echo "$root/target/python"
}

# Installs the Python packages that file $2 pins into a virtual environment in folder $1. Debian's Python cannot put pip there
# unless its venv package is installed, so pip is then unpacked from its own package.
install_python_packages() { alone install_python_packages_once "$@"; }

install_python_packages_once() {
    local folder=$1 requirements=$2 pip=(-m pip)
    ! cmp -s "$requirements" "$folder/installed.txt" || return 0
    if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && ! install_packages python3; then
        say 'Python 3.11 or newer is needed; install it (on Debian: apt-get install python3)'
        return 1
    fi
    say "getting the packages that $requirements pins"
    rm -rf "$folder"
    if python3 -c 'import ensurepip' 2>/dev/null; then
        python3 -m venv "$folder"
    else
        python3 -m venv --without-pip "$folder"
        pip=("$(compgen -G "$(unpack python3-pip-whl)/usr/share/python-wheels/pip-*.whl")/pip")
    fi
    "$folder/bin/python" "${pip[@]}" install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
        -r "$requirements"
    cp "$requirements" "$folder/installed.txt"
}
