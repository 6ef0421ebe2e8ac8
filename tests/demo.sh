#!/bin/sh
# demo.sh CONTINUITY
#
# Shows the program at work on a copy of this repository's sources, and leaves
# nothing behind. Needs no privileges where fusermount3 is installed.
set -eu
continuity=$(realpath "$1")
cd "$(dirname "$0")/.."

work=$(mktemp -d)
server=
clean_up() {
	trap - EXIT
	if [ -n "$server" ]; then
		kill -TERM "$server" 2>/dev/null || true
		wait "$server" 2>/dev/null || true
	fi
	rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() { printf '\n\033[1m# %s\033[0m\n' "$1"; }
show() {
	printf '$ %s\n' "$*"
	"$@"
}
fails() { # fails COMMAND...: shows it, and that it fails
	printf '$ %s\n' "$*"
	if "$@"; then
		echo "demo: this should have failed" >&2
		exit 1
	fi
}

wait_until_mounted() {
	tries=0
	until grep -qs 'INFO  mounted' log; do
		tries=$((tries + 1))
		if [ $tries -gt 200 ] || ! kill -0 $server 2>/dev/null; then
			cat log >&2
			exit 1
		fi
		sleep 0.05
	done
}

mkdir "$work/mnt" "$work/tree"
cp -a src proto docs README.md Cargo.toml "$work/tree"
cd "$work"
PATH=$(dirname "$continuity"):$PATH

say 'A manifest of a tree: every name, mode, owner, time, link, attribute and digest'
show continuity build -o a.pb tree
show continuity stats a.pb

say 'Mount it. Names come from the manifest, content from the tree, checked'
echo '$ continuity mount --fuse mnt a.pb tree &'
continuity mount --fuse mnt a.pb tree 2>log &
server=$!
wait_until_mounted
cat log
show diff -r tree mnt
echo '(no difference)'
fails touch mnt/new

say 'Mounted anew, held to its digest. Somebody changes one letter of a file'
kill -TERM $server
wait $server
# Or the last mount's lines could be taken for those of this one.
rm log
digest=sha256:$(sha256sum a.pb | cut -d' ' -f1)
echo "\$ continuity mount --fuse --digest $digest mnt a.pb tree &"
continuity mount --fuse --digest "$digest" mnt a.pb tree 2>log &
server=$!
wait_until_mounted
show sed -i s/continuity/cantinuity/ tree/Cargo.toml
show grep -m1 ^name tree/Cargo.toml
fails cat mnt/Cargo.toml
# The log is written by a thread of its own.
tries=0
until grep -q event=refused log || [ "$tries" = 100 ]; do
	sleep 0.1
	tries=$((tries + 1))
done
show tail -n 1 log
fails continuity verify tree a.pb

say 'The file is repaired, and serves again at once'
show sed -i s/cantinuity/continuity/ tree/Cargo.toml
show grep -m1 ^name mnt/Cargo.toml

say 'Unmount'
echo "\$ kill $server"
kill -TERM $server
wait $server
server=
grep 'INFO  unmounted' log
show ls -A mnt
