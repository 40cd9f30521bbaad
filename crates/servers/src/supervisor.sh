# Runs a server program, and ends it with all that it started as soon as the process that uses it is gone.
#
# Standard input is a pipe whose other end only that process holds, so that it ends when the process does, however it
# does. This shell adopts what the program leaves behind (it is a subreaper), so nothing escapes it.
#
# Arguments: the folder of the program's files, the signal that ends the program, the seconds in which it must end, the
# program, its arguments.
# Standard output: the process id of the program.
set -u
folder=$1 signal=$2 patience=$3
shift 3
cd "$folder" || exit

# A signal ends the wait below as well as the end of the process does. So does nobody reading what is printed.
trap : INT TERM HUP PIPE

# If this shell is killed, the program is too.
if setpriv --pdeathsig KILL true 2>/dev/null; then set -- setpriv --pdeathsig KILL -- "$@"; fi
"$@" </dev/null >"$folder/log" 2>&1 &
program=$!
echo "$program"
exec >/dev/null 2>&1

while read -r _; do :; done

# Only running processes of ours are listed, so no other process can have got one of these ids.
has_children() {
  children=
  read -r children <"/proc/$$/task/$$/children"
  [ -n "$children" ]
}
left=$((patience * 100))
# The list may omit a process while another one ends, so it must be empty twice.
while has_children || has_children; do
  left=$((left - 1))
  if [ "$left" -le 0 ]; then signal=KILL; fi
  # Again and again, because a program that has not begun yet loses the signal; also to what others have left behind.
  # shellcheck disable=SC2086 # the list is of several words
  kill -s "$signal" $children
  sleep 0.01
done
# A PostgreSQL that was killed leaves a segment of shared memory, whose id is at the end of the seventh line of this file.
segments=files/data/postmaster.pid
if [ -f "$segments" ]; then ipcrm --shmem-id "$(sed -n '7s/.* //p' "$segments")"; fi
cd /
rm -rf "$folder"
