//! Two layers, each a manifest of its own, stacked.

use std::fs;
use std::path::Path;

use rustix::fs::FileType;

use crate::debian::debian;
use crate::scene::{Scene, mount, mount_debian};
use crate::snapshot::{Snapshot, tree_of};
use crate::stacked::Overlay;
use crate::tree::sh;

/// What the upper layer changes: files and directories that are gone, made anew, or
/// something else by now; new ones of every kind; attributes alone.
const CHANGES: &str = r#"
rm etc/issue
rm -r usr/share/doc/apt
rm -r usr/share/zoneinfo
mkdir usr/share/zoneinfo
echo only >usr/share/zoneinfo/only
rm etc/hostname
mkdir etc/hostname
echo inside >etc/hostname/inside
rm -r etc/apt/apt.conf.d
echo file >etc/apt/apt.conf.d
rm usr/bin/sort
mkdir -p usr/share/gone/again
rm -r usr/share/gone
ln -s ../gone etc/link
mkfifo run/pipe
mknod run/null c 1 3
mv usr/bin/env usr/bin/moved
ln etc/group etc/linked
cp usr/bin/id usr/bin/id-capable
setfattr -n security.capability -v 0x0100000201000000000000000000000000000000 usr/bin/id-capable
chmod 2755 usr/bin/cut
chown 5:6 etc/passwd
setfattr -n user.more -v x etc/debian_version
setfattr -n user.more -v x usr/share/doc
setfacl -m u:7:r etc/shells
printf x | dd of=usr/bin/dpkg conv=notrunc status=none
head -c 3000000 /dev/zero | tr '\0' x >var/large
touch -h -d @1000 usr/share/zoneinfo/only etc/hostname/inside etc/apt/apt.conf.d etc/link \
    run/pipe run/null usr/bin/id-capable usr/bin/dpkg var/large
"#;

#[test]
fn two_manifests_are_the_tree_that_the_layers_mean() {
    let scene = Scene::new();
    let base = mount_debian(&scene, "dev,suid");
    // By itself, without any overlay.
    let wanted = scene.join("wanted");
    sh(
        scene.path(),
        &format!("cp -a {:?} wanted; cd wanted; {CHANGES}", debian()),
    );
    // The same in a layer, over the mount.
    let overlay = Overlay::new(scene.path(), &[base.path()], "");
    sh(overlay.path(), CHANGES);
    let upper = overlay.upper().to_owned();
    same(overlay.path(), &wanted);
    drop(overlay);
    let manifest = scene.build("upper.pb", &upper);
    let top = mount(&manifest, &upper, "dev,suid");
    let stacked = Overlay::read_only(scene.path(), &[top.path(), base.path()], "");
    same(stacked.path(), &wanted);
}

/// Asserts that two trees are the same, in all that can be.
fn same(found: &Path, wanted: &Path) {
    let (found_tree, wanted_tree) = (tree_of(found), tree_of(wanted));
    let differs = |one: &Snapshot, other: &Snapshot| {
        let paths = one
            .iter()
            .filter(|(path, seen)| other.get(*path) != Some(seen));
        paths
            .map(|(path, seen)| format!("{path:?} {seen:?}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        differs(&found_tree, &wanted_tree),
        differs(&wanted_tree, &found_tree)
    );
    for (path, seen) in &wanted_tree {
        if seen.file_type() == FileType::RegularFile {
            let (found, wanted) = (fs::read(found.join(path)), fs::read(wanted.join(path)));
            assert!(found.unwrap() == wanted.unwrap(), "{path:?}");
        }
    }
}
