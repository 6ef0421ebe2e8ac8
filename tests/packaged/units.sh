# The units, with a systemd that runs them.
fail() {
	echo "$*"
	systemctl --no-pager --full status 'continuity@*' 'mnt-*'
	cat /log
	exit 1
}
eventually() { # eventually COMMAND…
	tries=0
	until "$@"; do
		[ $((tries += 1)) -lt 1200 ] || fail "never: $*"
		sleep 0.05
	done
}
is_mounted() {
	grep -q ' /mnt/a fuse.continuity ' /proc/mounts
}
reads() {
	[ "$(cat /mnt/a/file)" = content ] || fail "wrong content"
}

: >/log
dpkg -i /package.deb >/tmp/dpkg 2>&1 || fail "$(cat /tmp/dpkg)"
mkdir -p /srv/a /mnt/a /etc/systemd/system/continuity@.service.d
echo content >/srv/a/file
head -c 2000000 /dev/urandom >/srv/a/large
mkdir -m 700 /srv/copies
continuity build -o /srv/a.pb /srv/a
sha256sum /srv/a.pb >/etc/continuity/a.sha256
cp /usr/share/doc/continuity/examples/a.conf /etc/continuity
sed -i 's/^OPTIONS=/OPTIONS=cache_dir=\/srv\/copies,cache_max=10M,/' /etc/continuity/a.conf
grep -q ^OPTIONS=cache_dir /etc/continuity/a.conf || fail "no options"
cp /usr/share/doc/continuity/examples/*.*mount /etc/systemd/system
# There is no journal here; and it is killed more often than usual.
printf '[Unit]\nStartLimitIntervalSec=0\n[Service]\nStandardError=append:/log\n' >/etc/systemd/system/continuity@.service.d/log.conf
systemctl daemon-reload

# A service: it is started when the mount is there, and everybody sees that.
systemctl start continuity@a || fail "not started"
is_mounted || fail "not mounted"
reads
server=$(systemctl show -P MainPID continuity@a)
[ "$(readlink "/proc/$server/ns/mnt")" = "$(readlink /proc/1/ns/mnt)" ] || fail "it has mounts of its own"
grep -q 'sandbox=required .*landlock=full.*seccomp=full' /log || fail "not confined"
continuity mounts | grep -q '^/mnt/a .* pid=' || fail "not listed"
# Another one takes over, in the same confinement.
kill -s USR2 "$server"
eventually grep -q event=worker_died /log
reads
# It waits for its last user.
exec 5</mnt/a/file
systemctl stop --no-block continuity@a
eventually sh -c '! grep -q " /mnt/a " /proc/mounts'
[ "$(systemctl is-active continuity@a)" = deactivating ] || fail "it has ended under its user"
[ "$(cat <&5)" = content ] || fail "its user is cut off"
exec 5<&-
eventually sh -c '[ "$(systemctl is-active continuity@a)" = inactive ]'
# Killed with all of its processes, the mount goes on: nobody sees it, not even whoever
# reads all the time past what the kernel has.
systemctl start continuity@a
mount=$(stat -c %d /mnt/a)
exec 5</mnt/a/file 6</mnt/a/large
(
	while [ ! -e /tmp/enough ]; do
		dd if=/mnt/a/file iflag=direct bs=4096 status=none 2>>/tmp/errors >/tmp/read || echo failed >>/tmp/errors
		[ "$(cat /tmp/read)" = content ] || echo wrong >>/tmp/errors
		echo >>/tmp/reads
	done
) &
reader=$!
for whom in all main all; do
	server=$(systemctl show -P MainPID continuity@a)
	: >/tmp/reads
	eventually [ -s /tmp/reads ]
	case $whom in
	all) systemctl kill -s KILL continuity@a ;;
	main)
		# Nobody but us ends the process that serves, then.
		printf '[Service]\nKillMode=process\n' >/etc/systemd/system/continuity@.service.d/kill.conf
		systemctl daemon-reload
		kill -s KILL "$server"
		;;
	esac
	is_another() {
		now=$(systemctl show -P MainPID continuity@a)
		[ "$now" != 0 ] && [ "$now" != "$server" ] && [ "$(systemctl is-active continuity@a)" = active ]
	}
	eventually is_another
	: >/tmp/reads
	eventually [ -s /tmp/reads ]
	# Whoever has it open reads a copy that was there before the supervisor was.
	cmp /mnt/a/large /srv/a/large || fail "it cannot be opened any more"
	eventually sh -c '[ "$(pgrep -cf "^/usr/bin/continuity ")" = 2 ]'
	rm -f /etc/systemd/system/continuity@.service.d/kill.conf
	systemctl daemon-reload
done
[ "$(grep -c event=resumed /log)" = 3 ] || fail "it was not resumed each time"
[ "$(stat -c %d /mnt/a)" = "$mount" ] || fail "it is another mount"
[ "$(cat <&5)" = content ] || fail "its user is cut off"
cmp - /srv/a/large <&6 || fail "whoever has the copy is cut off"
exec 5<&- 6<&-
# It can be asked for another manifest, and goes on with that, too.
echo other >/srv/a/second
continuity build -o /srv/a.new /srv/a
mv /srv/a.new /srv/a.pb
sed -i 's/digest_file=[^,]*,*//' /etc/continuity/a.conf
continuity remount /mnt/a && fail "another manifest than the pinned one was read"
touch /tmp/enough
wait "$reader"
[ ! -s /tmp/errors ] || fail "readers saw $(sort /tmp/errors | uniq -c)"
# It is not what is asked for now, so it ends, and another one is mounted.
systemctl kill -s KILL continuity@a
eventually grep -q event=not_resumed /log
eventually sh -c '[ "$(systemctl is-active continuity@a)" = active ]'
reads
[ "$(cat /mnt/a/second)" = other ] || fail "it is the one before"
[ "$(grep -c /mnt/a /proc/mounts)" = 1 ] || fail "mounted twice"
rm /srv/a/second
continuity build -o /srv/a.new /srv/a
mv /srv/a.new /srv/a.pb
continuity remount /mnt/a || fail "not read anew"
[ ! -e /mnt/a/second ] || fail "the one before is shown"
server=$(systemctl show -P MainPID continuity@a)
systemctl kill -s KILL continuity@a
eventually is_another
[ ! -e /mnt/a/second ] || fail "the one before is shown"
reads
sha256sum /srv/a.pb >/etc/continuity/a.sha256
[ "$(grep -c event=resumed /log)" = 4 ] || fail "it was not resumed"
systemctl stop continuity@a
! is_mounted || fail "still mounted"
[ -z "$(ls -A /run/continuity)" ] || fail "it has left $(ls -A /run/continuity)"
# Taken away from its place while somebody reads it, it goes on as well, and ends with
# its last user.
systemctl start continuity@a
exec 5</mnt/a/file
umount -l /mnt/a
server=$(systemctl show -P MainPID continuity@a)
systemctl kill -s KILL continuity@a
eventually is_another
[ "$(cat <&5)" = content ] || fail "its user is cut off"
[ "$(grep -c event=resumed /log)" = 5 ] || fail "it was not resumed"
! is_mounted || fail "mounted again"
exec 5<&-
eventually sh -c '[ "$(systemctl is-active continuity@a)" = inactive ]'
# A manifest that is not the pinned one.
echo >>/etc/continuity/a.conf OPTIONS=digest=sha256:0000000000000000000000000000000000000000000000000000000000000000
! systemctl start continuity@a || fail "another manifest was mounted"
grep -q 'is not trusted' /log || fail "it does not say why"
systemctl stop continuity@a

# A mount unit.
systemctl start mnt-a.mount || fail "not mounted"
is_mounted || fail "not mounted"
reads
systemctl stop mnt-a.mount
! is_mounted || fail "still mounted"
eventually sh -c '! pidof mount.continuity'

# Mounted when somebody looks.
systemctl start mnt-a.automount
! is_mounted || fail "mounted before anybody looked"
timeout -s KILL 60 cat /mnt/a/file || fail "whoever looks waits for ever"
is_mounted || fail "not mounted"
systemctl stop mnt-a.automount mnt-a.mount
! is_mounted || fail "still mounted"

# The same from fstab.
rm /etc/systemd/system/mnt-a.*mount
echo '/srv/a.pb /mnt/a continuity noauto,x-systemd.automount,backing=/srv/a,digest_file=/etc/continuity/a.sha256 0 0' >/etc/fstab
systemctl daemon-reload
systemctl start mnt-a.automount
timeout -s KILL 60 cat /mnt/a/file || fail "whoever looks waits for ever"
is_mounted || fail "not mounted"
systemctl stop mnt-a.automount mnt-a.mount
! is_mounted || fail "still mounted"
