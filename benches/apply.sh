#!/bin/sh
# How long apply and copy take beside cp -a: as lines of a table.
#
#   benches/apply.sh PROGRAM [DIRECTORY [ROUNDS [FILES [MIB]]]]
#
# In DIRECTORY, and where the tools to make them are there, on btrfs and xfs in
# loop files in it. It needs root, and some 12 GB.
set -eu
program=$(realpath "$1")
base=$(mktemp -d "${2:-/tmp}/continuity-apply.XXXXXX")
rounds=${3:-3} files=${4:-100000} mib=${5:-2048}
mounted=

clean() {
	for at in $mounted; do umount "$at"; done
	rm -rf "$base"
}
trap clean EXIT
trap 'exit 130' INT TERM

# seconds COMMAND...: writes how long it takes.
seconds() {
	sync
	begin=$(date +%s%N)
	"$@" >/dev/null
	end=$(date +%s%N)
	echo $(((end - begin) / 1000000))
}

median() {
	sort -n | awk '{ all[NR] = $1 } END { printf "%.2f s", all[int((NR + 1) / 2)] / 1000 }'
}

# All ways of copying, by turns.
measure() {
	where=$1 what=$2 tree=$3 manifest=$4 name=$5
	ways="cp copy apply undigested again"
	for way in $ways; do : >"$base/$way"; done
	for _ in $(seq "$rounds"); do
		find "$tree" -type f -print0 | xargs -0 cat >/dev/null
		for way in cp copy apply undigested; do
			target=$where/target
			case $way in
			cp) set -- cp -a "$tree" "$target" ;;
			copy) set -- "$program" copy -q "$tree" "$target" ;;
			apply) set -- "$program" apply -q --source "dir:$tree" "$target" "$manifest" ;;
			undigested)
				set -- "$program" apply -q --disable-digest --source "dir:$tree" "$target" "$manifest"
				;;
			esac
			seconds "$@" 2>/dev/null >>"$base/$way"
			if [ $way = apply ]; then seconds "$@" >>"$base/again"; fi
			rm -rf "$target"
		done
	done
	printf '| %s | %s |' "$name" "$what"
	for way in $ways; do printf ' %s |' "$(median <"$base/$way")"; done
	echo
}

one() {
	where=$1 name=$2
	python3 - "$where" "$files" "$mib" <<'P'
import os, sys
where, files, mib = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for number in range(files):
    directory = f"{where}/small/{number // 1000:03}"
    os.makedirs(directory, exist_ok=True)
    with open(f"{directory}/{number % 1000:03}", "wb") as file:
        file.write(os.urandom(4096))
os.makedirs(f"{where}/large")
with open(f"{where}/large/file", "wb") as file:
    for _ in range(mib):
        file.write(os.urandom(1 << 20))
P
	for what in small large; do "$program" build -q -o "$where/$what.pb" "$where/$what"; done
	measure "$where" "$files files of 4 KiB" "$where/small" "$where/small.pb" "$name"
	measure "$where" "one file of $mib MiB" "$where/large" "$where/large.pb" "$name"
}

echo '| filesystem | | `cp -a` | copy | apply | without digests | nothing to do |'
echo '|---|---|---:|---:|---:|---:|---:|'
mkdir "$base/here"
one "$base/here" "$(stat -f -c %T "$base")"
rm -rf "$base/here"
for kind in btrfs xfs; do
	command -v mkfs.$kind >/dev/null || continue
	truncate -s 12G "$base/$kind.img"
	mkfs.$kind -q "$base/$kind.img" >/dev/null
	mkdir "$base/$kind"
	mount -o loop "$base/$kind.img" "$base/$kind"
	mounted="$base/$kind"
	one "$base/$kind" "$kind, reflinks"
	umount "$base/$kind"
	mounted=
	rm "$base/$kind.img"
done
