#!/bin/sh
# How long a container takes to its first process, and to the end of a larger one, on
# the mount beside the same root unpacked: as lines of a table.
#
#   benches/container.sh PROGRAM HELPER ROOT [ROUNDS]
#
# ROOT is a small Debian as the tests leave it in target/tmp/debian; without one it is
# made. It needs root and crun, and clears the page cache of the machine.
set -eu
program=$(realpath "$1") helper=$(realpath "$2") root=$3 rounds=${4:-15}
base=$(mktemp -d /tmp/continuity-container.XXXXXX)
chmod 755 "$base"

clean() {
	umount "$base/mount" 2>/dev/null || true
	rm -rf "$base"
}
trap clean EXIT
trap 'exit 130' INT TERM

[ -e "$root/usr/bin/dpkg" ] || debootstrap --variant=minbase stable "$root" >/dev/null
root=$(realpath "$root")
mkdir "$base/mount" "$base/times"
"$program" build -q -o "$base/root.pb" "$root"

# bundle NAME ROOTFS COMMAND
bundle() {
	mkdir "$base/$1"
	python3 - "$base/$1/config.json" "$2" "$3" <<'P'
import json, sys
out, root, command = sys.argv[1:]
mount = lambda to, kind, *options: {
    "destination": to, "type": kind, "source": kind, "options": list(options)}
json.dump({
    "ociVersion": "1.0.2",
    "process": {"user": {"uid": 0, "gid": 0}, "args": ["/bin/sh", "-c", command], "cwd": "/",
                "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]},
    "root": {"path": root, "readonly": True},
    "mounts": [mount("/proc", "proc"), mount("/dev", "tmpfs", "mode=755"),
               mount("/sys", "sysfs", "ro"), mount("/tmp", "tmpfs")],
    "linux": {"namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")]},
}, open(out, "w"))
P
}

# seconds NAME COMMAND...: how long it takes, in microseconds.
seconds() {
	name=$1
	shift
	begin=$(date +%s%N)
	"$@" >/dev/null
	end=$(date +%s%N)
	echo $(((end - begin) / 1000)) >>"$base/times/$name"
}

contain() {
	# crun takes no machine with both versions of cgroups.
	unshare --mount --propagation=private sh -c 'mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"' sh \
		crun --root "$base/state" --cgroup-manager=disabled run --bundle "$base/$1" "continuity-bench-$$"
}

forget() {
	sync
	echo 3 >/proc/sys/vm/drop_caches
}

median() {
	sort -n "$base/times/$1" | awk '{ all[NR] = $1 } END { printf "%.1f ms", all[int((NR + 1) / 2)] / 1000 }'
}

digest=sha256:$(sha256sum "$base/root.pb" | cut -d' ' -f1)
mount_it() {
	"$helper" "$base/root.pb" "$base/mount" -o "backing=$root,digest=$digest" 2>"$base/log" || {
		cat "$base/log" >&2
		exit 1
	}
}

unmount_it() {
	umount "$base/mount"
	while pgrep -f "$base/mount" >/dev/null; do sleep 0.05; done
}

echo '| first process | | nothing cached | backing cached | all cached |'
echo '|---|---|---:|---:|---:|'
for what in true 'dpkg -l' 'apt-cache stats'; do
	rm -rf "$base/times" "$base/native" "$base/mounted"
	mkdir "$base/times"
	bundle native "$root" "$what"
	bundle mounted "$base/mount" "$what"
	for _ in $(seq "$rounds"); do
		forget
		seconds native-cold contain native
		seconds native-warm contain native
		forget
		seconds mount-cold mount_it
		seconds mounted-cold contain mounted
		unmount_it
		# What the backing's filesystem has of it is still there.
		seconds mount-backed mount_it
		seconds mounted-backed contain mounted
		seconds mounted-warm contain mounted
		unmount_it
	done
	echo "| \`$what\` | unpacked | $(median native-cold) | | $(median native-warm) |"
	echo "| | on the mount | $(median mounted-cold) | $(median mounted-backed) | $(median mounted-warm) |"
	echo "| | mounting it | $(median mount-cold) | $(median mount-backed) | |"
done
