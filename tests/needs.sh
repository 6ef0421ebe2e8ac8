#!/bin/sh
# needs.sh demo|test|bench|container|fuzz|instructions|deb|sweep
#
# Checks what the demo, the tests, the benchmarks or the package need. On Debian and its
# kin, root installs what is missing; everywhere else one line says what it is.
set -eu

missing=
packages=
need() { # need PROGRAM PACKAGES, and all of them: what is only recommended is not installed
	if ! command -v "$1" >/dev/null 2>&1 && ! [ -x "/usr/sbin/$1" ]; then
		missing="$missing $1"
		packages="$packages $2"
	fi
}

programs() {
	missing=
	packages=
	need cc 'gcc libc6-dev'
	need mount mount
	[ "$(id -u)" = 0 ] || need fusermount3 fuse3
	if [ "$1" = fuzz ]; then
		need g++ g++
	fi
	if [ "$1" = sweep ]; then
		need strace strace
	fi
	if [ "$1" = bench ]; then
		need python3 python3
	fi
	if [ "$1" = container ]; then
		need python3 python3
		need crun crun
		need debootstrap debootstrap
		need pgrep procps
	fi
	if [ "$1" = instructions ]; then
		need valgrind 'valgrind libc6-dbg'
	fi
	if [ "$1" = deb ] || [ "$1" = test ]; then
		need dpkg-deb dpkg
		need dpkg-shlibdeps dpkg-dev
		need strip binutils
	fi
	if [ "$1" = test ]; then
		need fusermount3 fuse3
		need systemd-analyze systemd
		need zsh zsh
		need fish fish
		need man man-db
		need getcap libcap2-bin
		need getfattr attr
		need setfacl acl
		need python3 python3
		need rsync rsync
		need mkfs.btrfs btrfs-progs
		need mkfs.xfs xfsprogs
		need filefrag e2fsprogs
		need git git
		need minisign minisign
		need ssh-keygen openssh-client
		need setpriv util-linux
		need unshare util-linux
		need automount autofs
		need tar tar
		need mtree mtree-netbsd
		need bsdtar libarchive-tools
		need umoci umoci
		need script bsdutils
		need debootstrap debootstrap
		need runc runc
		need crun crun
		need podman podman
		need newuidmap uidmap
		need ctr containerd
		need bwrap bubblewrap
		need curl curl
	fi
}

stop() {
	echo "continuity: $1" >&2
	exit 1
}

command -v cargo >/dev/null 2>&1 ||
	stop "cargo is missing: install Rust (rustup.rs, or the package cargo), 1.94 or later"
if [ "$1" = test ]; then
	cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 ||
		stop "rustfmt and clippy are missing: rustup component add rustfmt clippy"
fi
if [ "$1" = fuzz ]; then
	cargo fuzz --version >/dev/null 2>&1 ||
		stop "cargo-fuzz is missing: cargo install cargo-fuzz"
fi
programs "$1"
if [ -n "$missing" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
	echo "continuity: installing$packages" >&2
	# shellcheck disable=SC2086 # a list of words
	{ apt-get update -qq && apt-get install -y -qq --no-install-recommends $packages; } >/dev/null 2>&1 || true
	programs "$1"
fi
[ -z "$missing" ] || stop "missing:$missing (Debian's packages:$packages)"
[ "$1" = deb ] || [ -e /dev/fuse ] ||
	stop "there is no /dev/fuse: load the kernel's module with: modprobe fuse"
if [ "$1" = test ] && [ "$(id -u)" != 0 ]; then
	stop "the tests make devices, owners and trusted attributes, and mount: run them as root (sudo make test)"
fi
