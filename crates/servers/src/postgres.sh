# Makes a data folder, an empty one or a replica's, and becomes a PostgreSQL server on it.
#
# Arguments: the folder of the programs, the port, the port of the primary or nothing, settings. The password of the user
# `worthit` is in $WORTHIT_PASSWORD.
set -eu
programs=$1 port=$2 primary=$3
shift 3
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
if [ -n "$primary" ]; then
  # The slot makes the primary keep what the replica has not got yet.
  # shellcheck disable=SC2086
  PGPASSWORD=$WORTHIT_PASSWORD $user "$programs/pg_basebackup" --pgdata=data --host=127.0.0.1 --port="$primary" \
    --username=worthit --no-password --checkpoint=fast --write-recovery-conf --create-slot --slot=worthit
else
  # shellcheck disable=SC2086
  printf '%s\n' "$WORTHIT_PASSWORD" | $user sh -c 'umask 077; cat >password'
  # shellcheck disable=SC2086
  (unset WORTHIT_PASSWORD; exec $user "$programs/initdb" --pgdata=data --username=worthit --pwfile=password \
    --auth=scram-sha-256 --locale=C --encoding=UTF8 --no-instructions)
  rm password
fi
unset WORTHIT_PASSWORD
for setting; do
  shift
  set -- "$@" -c "$setting"
done
# The server forgets the statements that it counted least when it has counted too many; so many no run has.
# Dynamic shared memory lies in the data folder, so that it goes with it even if the server is killed.
# shellcheck disable=SC2086
exec $user "$programs/postgres" -D data -c port="$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
  -c dynamic_shared_memory_type=mmap -c shared_preload_libraries=pg_stat_statements \
  -c pg_stat_statements.max=50000 "$@"
