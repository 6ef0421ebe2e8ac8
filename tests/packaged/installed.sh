# The package, from before it is installed until it is gone.
fail() {
	echo "$*" >&2
	exit 1
}
# What there is where packages put something, but for the records of dpkg and man.
look() {
	find /etc /usr /var \( -path /var/lib/dpkg -o -path /var/log -o -path /var/cache \) -prune \
		-o -type d -printf '%p d %m\n' -o -printf '%p %y %m %s %l\n' | LC_ALL=C sort
}
eventually() { # eventually COMMAND…
	tries=0
	until "$@"; do
		[ $((tries += 1)) -lt 1200 ] || fail "never: $*"
		sleep 0.05
	done
}

! command -v mount.continuity || fail "it is there before it is installed"
look >/tmp/before
dpkg -i /package.deb >/tmp/log 2>&1 || fail "$(cat /tmp/log)"
dpkg -L continuity | LC_ALL=C sort >/tmp/files
while read -r file; do
	grep -qxF "$file" /tmp/files || fail "$file is missing"
done <<END
/etc/continuity
/usr/bin/continuity
/usr/lib/systemd/system/continuity@.service
/usr/sbin/mount.continuity
/usr/sbin/mount.fuse.continuity
/usr/share/bash-completion/completions/continuity
/usr/share/doc/continuity/changelog.gz
/usr/share/doc/continuity/copyright
/usr/share/doc/continuity/examples/a.conf
/usr/share/fish/vendor_completions.d/continuity.fish
/usr/share/man/man1/continuity-mount.1.gz
/usr/share/man/man8/mount.continuity.8.gz
/usr/share/man/man8/mount.fuse.continuity.8.gz
/usr/share/zsh/vendor-completions/_continuity
END
dpkg -V continuity || fail "not what was packed"
[ "$(cd / && continuity --version | cut -d ' ' -f 1)" = continuity ]
for page in 'continuity' 'continuity-mount' '8 mount.continuity' '8 mount.fuse.continuity'; do
	# shellcheck disable=SC2086 # a section and a name
	man -w $page >/dev/null || fail "no page: $page"
done

# mount(8) and fstab.
mkdir -p /srv/tree /mnt/tree /mnt/other
echo content >/srv/tree/file
echo other >/srv/tree/tampered
continuity build -o /srv/a.pb /srv/tree
echo OTHER >/srv/tree/tampered
digest=sha256:$(sha256sum /srv/a.pb | cut -d ' ' -f 1)
cat >/etc/fstab <<END
/srv/a.pb  /mnt/tree   continuity       backing=/srv/tree,digest=$digest,nofail,_netdev  0  0
/srv/a.pb  /mnt/other  fuse.continuity  backing=/srv/tree,noauto,user  0  0
END
mount /mnt/tree
[ "$(cat /mnt/tree/file)" = content ] || fail "wrong content"
! cat /mnt/tree/tampered 2>/dev/null || fail "what was tampered with is read"
mount -a
[ "$(grep -c ' /mnt/tree fuse.continuity ' /proc/mounts)" = 1 ] || fail "not mounted once: $(cat /proc/mounts)"
mount /mnt/other
[ "$(cat /mnt/other/file)" = content ] || fail "wrong content"
continuity mounts | grep -q /mnt/tree || fail "not listed"
umount /mnt/tree /mnt/other
! grep ' fuse.continuity ' /proc/mounts || fail "still mounted"

# The shells.
bash -c '. /usr/share/bash-completion/completions/continuity; complete -p continuity' >/dev/null ||
	fail "bash knows no completions"
fish --no-config -c 'source /usr/share/fish/vendor_completions.d/continuity.fish; complete -C "continuity mou"' |
	grep -q '^mounts' || fail "fish does not complete"
zsh -fc 'autoload -Uz compinit; compinit -u -D; print -r -- $_comps[continuity]' |
	grep -qx _continuity || fail "zsh knows no completions"
zsh -n /usr/share/zsh/vendor-completions/_continuity || fail "zsh cannot read the completions"

# The units.
mkdir -p /etc/systemd/system
cp /usr/share/doc/continuity/examples/*.*mount /etc/systemd/system
cp /usr/share/doc/continuity/examples/a.conf /etc/continuity
for unit in continuity@a.service mnt-a.mount mnt-a.automount; do
	said=$(systemd-analyze verify "$unit" 2>&1) || fail "$unit: $said"
	[ -z "$said" ] || fail "$unit: $said"
done
rm /etc/systemd/system/mnt-a.*mount

eventually sh -c '! pidof mount.continuity'
dpkg -P continuity >/tmp/log 2>&1 || fail "$(cat /tmp/log)"
[ -e /etc/continuity/a.conf ] || fail "what the user wrote is gone"
rm -r /etc/continuity
look >/tmp/after
# These are the script's own.
sed -i '\|^/etc/fstab |d; \|^/etc/systemd/system d |d' /tmp/before /tmp/after
diff /tmp/before /tmp/after || fail "this is left, or gone"
