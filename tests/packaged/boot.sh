# boot.sh PACKAGE SCRIPT
#
# The same where systemd runs, as machine.sh has it: in control groups of its own.
set -eu
mkdir groups machine
: >output
mount -t cgroup2 none groups
group=groups/continuity-test-$$
mkdir "$group"
machine=$(dirname "$0")/machine.sh
status=0
timeout -s KILL 160 sh -euc 'echo $$ >"$1"/cgroup.procs; cd machine; shift; exec "$@"' sh "$group" \
	unshare --mount --cgroup --pid --fork --kill-child --ipc --uts --mount-proc \
	sh "$machine" "$1" "$2" "$PWD/output" || status=$?
cat output
tries=0
until find "$group" -depth -type d -exec rmdir {} + 2>/dev/null; do
	[ $((tries += 1)) -lt 200 ] || exit 99
	sleep 0.05
done
exit $status
