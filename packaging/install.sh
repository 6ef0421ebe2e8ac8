#!/bin/sh
# install.sh PROGRAMS
#
# Installs the programs that are in the directory PROGRAMS, and what belongs to them,
# below DESTDIR: into PREFIX, SBINDIR and the directories of the shells and of systemd.
set -eu
built=$1
here=$(dirname "$0")
destination=${DESTDIR:-}
prefix=${PREFIX:-/usr/local}
# mount(8) looks for its helpers in /sbin and nowhere else.
sbin=${SBINDIR:-/sbin}
share=$prefix/share

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

put() { # put MODE FILE PLACE
	install -D -m "$1" "$2" "$destination$3"
}

put 755 "$built/continuity" "$prefix/bin/continuity"
put 755 "$built/mount-continuity" "$sbin/mount.continuity"
# By this name mount(8) looks when what is mounted, fuse.continuity, is remounted.
ln -sf mount.continuity "$destination$sbin/mount.fuse.continuity"

"$built/continuity" man "$work"
for page in "$work"/*.[18]; do
	put 644 "$page" "$share/man/man${page##*.}/${page##*/}"
done
echo '.so man8/mount.continuity.8' >"$work/link"
put 644 "$work/link" "$share/man/man8/mount.fuse.continuity.8"

completions() { # completions SHELL PLACE
	"$built/continuity" completions "$1" >"$work/completions"
	put 644 "$work/completions" "$2"
}
completions bash "$share/bash-completion/completions/continuity"
completions zsh "${ZSHDIR:-$share/zsh/site-functions}/_continuity"
completions fish "$share/fish/vendor_completions.d/continuity.fish"

sed "s|@bindir@|$prefix/bin|" "$here/continuity@.service" >"$work/unit"
put 644 "$work/unit" "$prefix/lib/systemd/system/continuity@.service"
