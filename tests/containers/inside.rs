//! What is run inside, with `sh -eux`.

/// The system is whole: what was unpacked is what the packages had.
pub const WHOLE: &str = r#"
test "$(. /etc/os-release; echo $ID)" = debian
dpkg -l | grep -q '^ii  dpkg '
test -z "$(dpkg --verify)"
apt list --installed 2>/dev/null | grep -q '^apt/'
"#;

/// setuid programs and file capabilities have effect. passwd(1) reads a file that
/// only root can read. (setpriv(1) keeps capabilities until something else is run,
/// which env(1) is.)
pub const PRIVILEGED: &str = r#"
nobody='setpriv --reuid 65534 --regid 65534 --clear-groups env'
test "$($nobody id-setuid -u)" = 0
$nobody passwd -S nobody | grep -q '^nobody L '
: >/tmp/given
$nobody with-capability 65534 /tmp/given
test "$(stat -c %u /tmp/given)" = 65534
if $nobody chown 0 /tmp/given; then exit 1; fi
"#;

/// The same have none.
pub const UNPRIVILEGED: &str = r#"
nobody='setpriv --reuid 65534 --regid 65534 --clear-groups env'
test "$($nobody id-setuid -u)" = 65534
: >/tmp/given
if $nobody with-capability 65534 /tmp/given; then exit 1; fi
"#;

/// Nothing can be changed.
pub const READ_ONLY: &str = r#"
for change in 'touch /new' 'rm /etc/hostname' 'chmod 600 /etc/passwd' 'mkdir /usr/new' \
    'mv /etc/hosts /etc/moved' 'ln /etc/passwd /etc/linked' 'truncate -s 0 /etc/passwd'; do
    if $change 2>/tmp/error; then exit 1; fi
    grep -q 'Read-only file system' /tmp/error
done
"#;

/// Everything can be: files written, made, removed and renamed, and a package too.
pub const CHANGES: &str = r#"
echo new >/new
echo more >>/etc/debian_version
chmod 600 /etc/issue
rm -r /usr/share/doc/apt
mkdir /usr/share/doc/apt
echo only >/usr/share/doc/apt/only
mv /usr/share/doc/dpkg /usr/share/doc/moved
ln /etc/passwd /etc/linked
dpkg --purge --force-all tzdata
test ! -e /usr/share/zoneinfo
"#;

/// What is seen after that, by the next one.
pub const CHANGED: &str = r#"
test "$(cat /new)" = new
grep -qx more /etc/debian_version
test "$(stat -c %a /etc/issue)" = 600
test "$(ls /usr/share/doc/apt)" = only
test -e /usr/share/doc/moved/copyright
test ! -e /usr/share/doc/dpkg
cmp /etc/linked /etc/passwd
test ! -e /usr/share/zoneinfo
if dpkg -l tzdata | grep '^ii'; then exit 1; fi
dpkg --verify | grep -v -e /usr/share/doc/ -e /etc/issue -e /etc/debian_version >/tmp/others || true
test ! -s /tmp/others
"#;
