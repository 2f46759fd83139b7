#!/usr/bin/env bash
# Backs candlewick's database up while it serves.
#   backup.sh            makes one backup now
#   backup.sh --nightly  makes one each day at BACKUP_AT, for ever, and one at the start if the newest is older than a day, or
#                        would be too old for --check before the next
#   backup.sh --check    succeeds if the newest backup is younger than 26 hours
# These environment variables say what and where:
#   DATABASE_URL, or a file DATABASE_URL_FILE, as the service has it: postgres://… or sqlite://PATH
#   BACKUP_DIR        the folder for backups
#   BACKUP_KEEP_DAYS  after how many days a backup is deleted; 14 if unset. The newest always stays.
#   BACKUP_AT         when, in UTC; 02:30 if unset
# A backup is candlewick-YYYYMMDDTHHMMSSZ.dump (Postgres) or .db (SQLite), and has that name only once it is whole, has been
# read again and is on the disk; its checksum lies beside it. This needs PostgreSQL's client programs, at least of the server's
# version, or sqlite3. restore.sh puts a backup back.
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=database.sh
. "$(dirname "$(readlink -f "$0")")/database.sh"

usage() { refuse 'usage: backup.sh [--nightly | --check]'; }

readonly DAY=1440
# A day, and time for a backup that takes long.
readonly LATE=$((26 * 60))
# Seconds until another try after a backup that failed, and seconds to wait for one that runs already.
readonly RETRY=900 LOCK_WAIT=3600

# Whether a whole backup was made in the last $1 minutes.
has_backup_since() {
    [ -n "$(find "$folder" -maxdepth 1 -type f '(' -name 'candlewick-*Z.dump' -o -name 'candlewick-*Z.db' ')' -mmin "-$1")" ]
}

# Says why a program failed with $1, in words for a full disk.
failed() {
    printf '%s\n' "$1" >&2
    case $1 in
        *'No space left'* | *'is full'* | *'Disk quota'*)
            die "the disk of $folder is full; nothing was kept. Free some space, or lower BACKUP_KEEP_DAYS"
            ;;
        *) die "no backup was made: $2" ;;
    esac
}

# Arguments that name both tables, as the login's search path finds them, and all partitions of the closed candles, of which
# pg_dump takes none by itself. Quoted, a name is no pattern.
tables_to_dump() {
    ask_postgres "set lock_timeout = '60s';
        select format('--table=%I.%I', nspname, relname)
        from pg_class c join pg_namespace n on n.oid = relnamespace
        where c.oid in ('market_data_candles'::regclass, 'market_data_live_candles'::regclass)
            or c.oid in (select relid from pg_partition_tree('market_data_candles'))
        order by 1"
}

backup_postgres() {
    local listed tables errors
    # A hypertable's rows lie in tables that inherit from it, which pg_dump would leave out without a word.
    [ "$(ask_postgres "select exists (select from pg_inherits join pg_class on pg_class.oid = inhparent
        where inhparent = to_regclass('market_data_candles') and relkind = 'r')")" != t ] ||
        die 'no backup was made: market_data_candles is a hypertable; back it up as TimescaleDB says'
    listed=$(tables_to_dump) || die 'no backup was made: the tables of candlewick could not be found; psql said why above'
    mapfile -t tables <<<"$listed"
    # Both tables, closed and forming, from one moment, and every row as one of its table, wherever that will keep it. Where
    # row security would hide rows from the login, pg_dump fails.
    errors=$(pg_dump --format=custom --encoding=UTF8 --no-password --lock-wait-timeout=60s --strict-names \
        --load-via-partition-root "${tables[@]}" --file="$1" 2>&1) ||
        failed "$errors" 'pg_dump said why above; log in as the owner of the tables, who can read all rows of both and their partitions'
    [ -z "$errors" ] || printf '%s\n' "$errors" >&2
    # It would lack the rows of a partition that came after the first look and before pg_dump's.
    [ "$(tables_to_dump)" = "$listed" ] ||
        die 'no backup was made: a partition of market_data_candles came or went meanwhile; start another one'
    counts=$(count_dumped "$1") || die 'no backup was made: pg_dump wrote a file that pg_restore cannot read to its end'
}

backup_sqlite() {
    local errors
    [ -f "$sqlite_file" ] || die "there is no SQLite file $sqlite_file; set DATABASE_URL as the service has it"
    # A snapshot, taken beside the service that writes.
    errors=$(ask_sqlite "$sqlite_file" "vacuum into '${1//\'/\'\'}'" 2>&1) ||
        failed "$errors" 'sqlite3 said why above'
    counts=$(count_sqlite "$1") || die 'no backup was made: what SQLite wrote is no sound database of candlewick'
}

make_backup() {
    local extension=dump started=$SECONDS name sum
    [ "$store" = postgres ] || extension=db
    # Held by the folder itself, so that a lock is left behind by nobody.
    exec 9<"$folder"
    if ! flock -n 9; then
        say 'another backup is being made; waiting for it to end'
        timeout "$LOCK_WAIT" flock 9 || die "no backup was made: another one did not end within $LOCK_WAIT s; look what holds it up"
    fi
    umask 077
    # What a backup left that was killed.
    rm -f -- "$folder"/candlewick-*.partial*
    name=candlewick-$(date -u +%Y%m%dT%H%M%SZ).$extension
    # Of two in one second, the second one is a moment later.
    while [ -e "$folder/$name" ]; do
        sleep 0.2
        name=candlewick-$(date -u +%Y%m%dT%H%M%SZ).$extension
    done
    partial=$folder/$name.partial
    trap 'rm -f -- "$partial"* "${partial%.partial}.sha256"' EXIT
    "backup_$store" "$partial"
    # In the format of sha256sum. SQLite would not notice a digit that a disk has changed.
    { sum=$(checksum "$partial") && printf '%s  %s\n' "$sum" "$name" >"$folder/$name.sha256" &&
        to_disk "$partial" "$folder/$name.sha256"; } ||
        die "no backup was made: $folder could not be written through to its disk"
    mv -- "$partial" "$folder/$name"
    to_disk "$folder"
    trap - EXIT
    find "$folder" -maxdepth 1 -type f -name 'candlewick-*Z.*' ! -name "$name*" -mmin "+$((keep_days * DAY))" \
        -exec rm -f -- {} +
    say "$folder/$name: ${counts% *} closed and ${counts#* } forming candles, $(wc -c <"$folder/$name" | tr -d ' ') bytes," \
        "$((SECONDS - started)) s"
}

# Seconds until BACKUP_AT.
until_backup_time() {
    local now left
    now=$(date -u +%s)
    left=$(((10#${at%:*} * 60 + 10#${at#*:}) * 60 - now % 86400))
    echo "$((left > 0 ? left : left + 86400))"
}

# Waits so many seconds, and by the clock, which goes on while a machine is suspended.
wait_for() {
    local end now
    end=$(($(date -u +%s) + $1))
    while now=$(date -u +%s) && [ "$now" -lt "$end" ]; do
        sleep "$((end - now < 60 ? end - now : 60))" &
        wait "$!"
    done
}

nightly() {
    local pause young job
    # In a process group of its own, a backup ends with everything that it has started.
    set -m
    trap 'trap - TERM INT; for job in $(jobs -p); do kill -TERM -- "-$job" 2>/dev/null || true; done; exit 0' TERM INT
    # One that is young enough stays so until the next is due.
    pause=$(until_backup_time)
    young=$((LATE - pause / 60))
    has_backup_since "$((young < DAY ? young : DAY))" || pause=0
    while :; do
        wait_for "$pause"
        (make_backup) &
        if wait "$!"; then
            pause=$(until_backup_time)
        else
            say "trying again in $RETRY s"
            pause=$RETRY
        fi
    done
}

[ $# -le 1 ] || usage
case ${1:-} in '' | --nightly | --check) ;; *) usage ;; esac
folder=${BACKUP_DIR:-} keep_days=${BACKUP_KEEP_DAYS:-14} at=${BACKUP_AT:-02:30}
[ -n "$folder" ] || refuse 'BACKUP_DIR is not set; name the folder for backups'
[ -d "$folder" ] || refuse "BACKUP_DIR names $folder, which is no folder; make it first"
[[ $keep_days =~ ^[1-9][0-9]{0,3}$ ]] || refuse 'BACKUP_KEEP_DAYS must be a number of days from 1 to 9999'
[[ $at =~ ^([01][0-9]|2[0-3]):[0-5][0-9]$ ]] || refuse 'BACKUP_AT must be a time of day in UTC, such as 02:30'

if [ "${1:-}" = --check ]; then
    has_backup_since "$LATE" || die "there is no backup in $folder that was made in the last 26 hours"
    exit 0
fi
[ -w "$folder" ] || refuse "BACKUP_DIR names $folder, which cannot be written by this user"
read_database_url
if [ "$store" = postgres ]; then needs psql pg_dump pg_restore; else needs sqlite3; fi
needs flock
if [ "${1:-}" = --nightly ]; then nightly; else make_backup; fi
