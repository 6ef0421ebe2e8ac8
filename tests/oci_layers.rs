//! Layers of a container image: each a manifest, mounted and stacked, they are
//! what umoci unpacks; and written as archives again, too.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod mounted;
mod snapshot;
mod stacked;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};

use mounted::{Mount, run};
use snapshot::tree_of;
use stacked::Overlay;
use tree::{continuity, scratch, sh, text};

/// Three layers: files, links, devices, capabilities; then files that are gone,
/// a directory made anew, new content; then a file where a directory was, and a
/// directory where it was gone.
const IMAGE: &str = r#"
umoci init --layout image && umoci new --image image:x
umoci unpack --image image:x b1
(cd b1/rootfs
 mkdir -p keep gone opaque/sub dir; echo k > keep/k; ln keep/k keep/l; echo g > gone/g
 echo o > opaque/o; echo s > opaque/sub/s; echo x > dir/x; echo y > dir/y; ln -s ../keep/k dir/link
 mknod dir/null c 1 3; mkfifo dir/p; chmod 4755 dir/x; chown 5:6 dir/y; setfattr -n user.a -v b dir/x
 setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 dir/y
 head -c 5000000 /dev/urandom > large; mkdir "$(printf 'caf\303\251\n')")
umoci repack --image image:x b1; umoci unpack --image image:x b2
(cd b2/rootfs
 rm -r gone; rm dir/x; rm -r opaque; mkdir opaque; echo new > opaque/n; echo changed > keep/k
 chmod 700 dir; printf x | dd of=large conv=notrunc status=none)
umoci repack --image image:x b2; umoci unpack --image image:x b3
(cd b3/rootfs
 rm -rf dir; echo file > dir; rm opaque/n; mkdir -p gone/again; touch gone/again/f; chown -R 7:8 gone)
umoci repack --image image:x b3; umoci unpack --image image:x b4
"#;

/// The layers of an image from the bottom up.
fn layers(image: &Path) -> Vec<PathBuf> {
    let script = "import json, sys
blob = lambda of: sys.argv[1] + '/blobs/' + of['digest'].replace(':', '/')
image = next(m for m in json.load(open(sys.argv[1] + '/index.json'))['manifests']
             if m['annotations']['org.opencontainers.image.ref.name'] == 'x')
for layer in json.load(open(blob(image)))['layers']: print(blob(layer))";
    let listed = run("python3", ["-c", script, image.to_str().unwrap()]);
    listed.lines().map(PathBuf::from).collect()
}

fn content(root: &Path) -> Vec<Vec<u8>> {
    ["keep/k", "keep/l", "opaque", "large", "dir", "gone/again/f"]
        .iter()
        .map(|name| fs::read(root.join(name)).unwrap_or_default())
        .collect()
}

fn succeeds(arguments: &[&str]) -> Vec<u8> {
    let done = continuity(arguments);
    assert!(
        done.status.success(),
        "{arguments:?}: {}",
        text(&done.stderr)
    );
    done.stdout
}

#[test]
fn stacked_layers_are_what_umoci_unpacks() {
    let scratch = scratch();
    let at = |name: &str| scratch.path().join(name).to_str().unwrap().to_owned();
    sh(
        scratch.path(),
        &IMAGE.replace("\numoci", "\numoci --log=error"),
    );
    let wanted = scratch.path().join("b4/rootfs");
    let layers = layers(&scratch.path().join("image"));
    assert_eq!(layers.len(), 3);

    let mut mounts = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        let layer = layer.to_str().unwrap();
        let (manifest, backing) = (at(&format!("{number}.pb")), at(&format!("backing{number}")));
        succeeds(&["build", "--from-tar", layer, "-o", &manifest]);
        let source = format!("tar:{layer}");
        succeeds(&["apply", "--source", &source, &backing, &manifest]);
        mounts.push(Mount::with(
            Path::new(&manifest),
            Path::new(&backing),
            &["-o", "dev,suid"],
        ));

        // And back, without loss, in either form.
        for convention in ["--whiteouts=aufs", "--whiteouts=overlay"] {
            let tar = at(&format!("{number}.tar"));
            let again = at("again.pb");
            let export = [
                "export", "--tar", convention, "--source", &source, "-o", &tar, &manifest,
            ];
            succeeds(&export);
            succeeds(&["build", convention, "--from-tar", &tar, "-o", &again]);
            assert!(
                fs::read(&again).unwrap() == fs::read(&manifest).unwrap(),
                "{layer}"
            );
        }
        let tar = at(&format!("{number}.tar"));
        succeeds(&[
            "export", "--tar", "--source", &source, "-o", &tar, &manifest,
        ]);
    }
    let from_the_top: Vec<_> = mounts.iter().rev().map(Mount::path).collect();
    let overlay = Overlay::read_only(scratch.path(), &from_the_top, "");
    assert_eq!(tree_of(overlay.path()), tree_of(&wanted));
    assert_eq!(content(overlay.path()), content(&wanted));
    drop(overlay);

    // What we write, umoci unpacks.
    sh(
        scratch.path(),
        "umoci new --image image:y
         for layer in 0 1 2; do umoci raw add-layer --image image:y $layer.tar; done
         umoci unpack --image image:y b5",
    );
    let unpacked = scratch.path().join("b5/rootfs");
    assert_eq!(tree_of(&unpacked), tree_of(&wanted));
    assert_eq!(content(&unpacked), content(&wanted));
}
