#!/bin/sh
# deb.sh PROGRAMS DIRECTORY
#
# Makes a Debian package, in DIRECTORY, of the programs that are in the directory
# PROGRAMS, and prints its name. With SOURCE_DATE_EPOCH the same programs give the same
# package.
set -eu
umask 022
built=$1
mkdir -p "$2"
out=$(cd "$2" && pwd)
here=$(dirname "$0")

version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$here/../Cargo.toml" | head -n 1)-1
architecture=$(dpkg --print-architecture)
# As Debian's own tools have it (debchange(1)).
maintainer="${DEBFULLNAME:-continuity maintainers} <${DEBEMAIL:-continuity@localhost}>"
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(date +%s)}
export SOURCE_DATE_EPOCH

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
root=$work/continuity
document=$root/usr/share/doc/continuity

# Debian has one directory for /sbin and /usr/sbin, and packages name the second.
DESTDIR=$root PREFIX=/usr SBINDIR=/usr/sbin ZSHDIR=/usr/share/zsh/vendor-completions \
	sh "$here/install.sh" "$built"
strip --strip-unneeded "$root/usr/bin/continuity" "$root/usr/sbin/mount.continuity"
find "$root/usr/share/man" -type f -exec gzip -9n {} +
# A page that only names another one is a link to it.
ln -sf mount.continuity.8.gz "$root/usr/share/man/man8/mount.fuse.continuity.8.gz"

install -d "$document/examples" "$root/etc/continuity"
install -m 644 "$here/debian/copyright" "$document/copyright"
install -m 644 "$here"/examples/* "$document/examples"
gzip -9n <"$here/../CHANGELOG.md" >"$document/changelog.gz"
gzip -9n >"$document/changelog.Debian.gz" <<END
continuity ($version) unstable; urgency=medium

  * See changelog.gz.

 -- $maintainer  $(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")
END

install -d "$root/DEBIAN" "$work/debian"
install -m 755 "$here/debian/postinst" "$here/debian/postrm" "$root/DEBIAN"
(cd "$root" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums)
# It wants to be called where the sources of a package are.
printf 'Source: continuity\n\nPackage: continuity\nArchitecture: any\n' >"$work/debian/control"
depends=$(cd "$work" && dpkg-shlibdeps -O "$root/usr/bin/continuity" "$root/usr/sbin/mount.continuity" 2>/dev/null |
	sed -n 's/^shlibs:Depends=//p')
size=$(du -k -s --apparent-size "$root/usr" | cut -f 1)
sed -e "s/@version@/$version/; s/@architecture@/$architecture/; s/@size@/$size/; s/@depends@/$depends/; s/@maintainer@/$maintainer/" \
	"$here/debian/control" >"$root/DEBIAN/control"

package=$out/continuity_${version}_$architecture.deb
dpkg-deb --root-owner-group --build "$root" "$package" >/dev/null
echo "$package"
