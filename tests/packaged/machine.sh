# machine.sh PACKAGE SCRIPT [OUTPUT]
#
# Runs SCRIPT on a machine that is like this one, and whose changes are gone in the end:
# in a mount namespace of its own, on an overlay of this machine's root. There the
# package is /package.deb. With OUTPUT, systemd is that machine's first process, and what
# SCRIPT says as its only service goes to that file.
set -eu
mount -t tmpfs none "$PWD"
# Where the old one was is what it covers.
cd "$PWD"
mkdir upper work root
mount -t overlay -o "lowerdir=/,upperdir=$PWD/upper,workdir=$PWD/work" overlay root
cd root
mount -t proc proc proc
mount --rbind /dev dev
mount -t tmpfs -o mode=755 none run
mount -t tmpfs none tmp
cp "$1" package.deb
cp "$2" script
if [ $# = 2 ]; then
	exec chroot . sh -eu /script
fi

mount -t sysfs sysfs sys
mount -t cgroup2 none sys/fs/cgroup
cat >etc/systemd/system/script.service <<END
[Unit]
DefaultDependencies=no
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=oneshot
ExecStart=sh -eu /script
StandardOutput=file:/output
StandardError=inherit
TimeoutStartSec=infinity
END
printf '[Unit]\nRequires=script.service\nAfter=script.service\n' >etc/systemd/system/script.target
: >etc/machine-id
touch output
mount --bind "$3" output
mkdir old
pivot_root . old
umount -l old
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin \
	/lib/systemd/systemd --system --unit=script.target --log-target=null --show-status=false
