# Makes a data folder and becomes a PostgreSQL server on it.
#
# Arguments: the folder of the programs, the port. The password of the user `worthit` is in $WORTHIT_PASSWORD.
set -eu
programs=$1 port=$2
user=
if [ "$(id -u)" = 0 ]; then
  # PostgreSQL refuses root. Changing the user forgets the signal that comes when the parent dies, so it is set again.
  user='setpriv --reuid postgres --regid postgres --init-groups --pdeathsig KILL --'
  install --directory --owner=postgres --group=postgres --mode=700 files
else
  install --directory --mode=700 files
fi
cd files
# shellcheck disable=SC2086 # several words
$user test -w "$PWD" || {
  echo "the user postgres cannot enter $PWD: unset WORTHIT_DATA, or let everybody enter the folders above (chmod o+x)"
  exit 1
}
# shellcheck disable=SC2086
printf '%s\n' "$WORTHIT_PASSWORD" | $user sh -c 'umask 077; cat >password'
unset WORTHIT_PASSWORD
# shellcheck disable=SC2086
$user "$programs/initdb" --pgdata=data --username=worthit --pwfile=password --auth=scram-sha-256 --locale=C \
  --encoding=UTF8 --no-instructions
rm password
# shellcheck disable=SC2086
exec $user "$programs/postgres" -D data -c port="$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
  -c max_connections=400 -c shared_preload_libraries=pg_stat_statements
