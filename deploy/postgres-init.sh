# Creates the login and the database of the service. The Postgres image sources this script when it makes its data folder.
# shellcheck shell=bash
psql -v ON_ERROR_STOP=1 -q -U postgres -d postgres -v password="$(cat /run/secrets/database_password)" <<'SQL'
create role candlewick login password :'password';
create database candlewick owner candlewick;
SQL
