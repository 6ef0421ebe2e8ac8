//! What is demanded of a manifest, on the command line and in mount options: what
//! is mounted then, what is refused, and how a mount tells who vouches for it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod mounted;
mod tree;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use mounted::{Mount, in_time, mounts_at, run, wait_until};
use tempfile::TempDir;
use tree::{continuity, scratch, sh, text};

const MAKE: &str = r"
mkdir tree mount; echo content >tree/file
for key in one two; do minisign -G -W -p $key.pub -s $key.sec >out; done
ssh-keygen -q -t ed25519 -N '' -C me -f key
echo me@example.org $(cat key.pub) >signers
";
const SIGN: &str = r"
minisign -S -s one.sec -m manifest -t 'release 7' >out
ssh-keygen -q -Y sign -n continuity-manifest -f key manifest 2>out
sha256sum manifest >list
";

struct Scene(TempDir);

impl Scene {
    fn new() -> Self {
        let scene = Self(scratch());
        sh(scene.0.path(), MAKE);
        let built = scene.run(&["build", "-o", "manifest", "tree"]);
        assert!(built.status.success());
        sh(scene.0.path(), SIGN);
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn at(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// The program, in the directory of the scene.
    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_continuity"))
            .args(arguments)
            .current_dir(self.0.path())
            .output()
            .unwrap()
    }

    fn help(&self, options: &str) -> Output {
        in_time("mount-continuity", || {
            Command::new(env!("CARGO_BIN_EXE_mount-continuity"))
                .args(["manifest", "mount", "-o", options])
                .current_dir(self.0.path())
                .output()
                .unwrap()
        })
    }

    fn mount(&self, arguments: &[&str]) -> Mount {
        Mount::with(&self.path("manifest"), &self.path("tree"), arguments)
    }

    fn digest(&self) -> String {
        let sum = run("sha256sum", [self.path("manifest")]);
        format!("sha256:{}", &sum[..64])
    }
}

/// The first column of the table of mounts, unescaped as far as it is needed here.
fn source_of(mount: &Mount) -> String {
    run(
        "findmnt",
        ["-n", "-o", "SOURCE", mount.path().to_str().unwrap()],
    )
    .trim_end()
    .to_owned()
}

fn trust_of(mount: &Mount) -> String {
    let arguments = ["--only-values", "-n", "user.continuity.trust"];
    let path = mount.path().to_str().unwrap().to_owned();
    let told = Command::new("getfattr")
        .args(arguments)
        .arg(path)
        .output()
        .unwrap();
    text(&told.stdout)
}

#[test]
fn a_mount_tells_who_vouches_for_it() {
    let scene = Scene::new();
    let (manifest, digest) = (scene.at("manifest"), scene.digest());
    let nobody = scene.mount(&["-o", "introspect"]);
    assert_eq!(trust_of(&nobody), "none");
    assert_eq!(
        source_of(&nobody),
        format!("continuity-unpinned:{manifest}")
    );
    // The process that logs it is another one than that which says "mounted".
    nobody.wait_for("event=unpinned");
    nobody.wait_for(&format!("--digest {digest}"));
    // By which it can be unmounted.
    run("umount", [source_of(&nobody)]);
    assert!(mounts_at(nobody.path()).is_empty());

    let options = format!(
        "introspect,digest={digest},key={},allowed-signers={},signer=me@example.org,require-signature",
        scene.at("one.pub"),
        scene.at("signers")
    );
    let everybody = scene.mount(&["-o", &options]);
    let told = trust_of(&everybody);
    for word in [
        &*format!("pin={digest} minisign="),
        " comment=\"release 7\" ssh=SHA256:",
        " signer=\"me@example.org\"",
    ] {
        assert!(told.contains(word), "{word:?} is not in {told:?}");
        everybody.wait_for(word);
    }
    everybody.wait_for("event=vouched");
    assert!(!everybody.log().contains("event=unpinned"));
    assert_eq!(source_of(&everybody), manifest);
    assert_eq!(
        fs::read(everybody.join("file")).unwrap(),
        b"content\n",
        "{}",
        everybody.log()
    );
    assert!(everybody.unmount().success());
}

#[test]
fn a_worker_that_takes_over_needs_no_signature() {
    let scene = Scene::new();
    let options = format!("introspect,key={}", scene.at("one.pub"));
    let mount = scene.mount(&["-o", &options]);
    assert!(trust_of(&mount).starts_with("minisign="));
    // What was vouched for once is held by its digest.
    fs::remove_file(scene.path("manifest.minisig")).unwrap();
    mount.signal("USR2");
    mount.wait_for("event=renewed");
    let pin = format!("pin={}", scene.digest());
    wait_until(|| trust_of(&mount) == pin, || mount.log());
    assert_eq!(fs::read(mount.join("file")).unwrap(), b"content\n");
    assert!(mount.unmount().success());
}

#[test]
fn the_helper_refuses_in_one_line_and_mounts_the_rest() {
    let scene = Scene::new();
    sh(
        scene.0.path(),
        "minisign -S -s two.sec -m manifest -x two >out",
    );
    let wrong = format!("digest=sha256:{:064}", 0);
    let named = "digest_file=list,key=one.pub,signature=manifest.minisig";
    for (options, told) in [
        (&*wrong, &["wanted sha256:000", "found sha256:"][..]),
        (
            "require_signature",
            &["a digest or a signature is required"],
        ),
        (
            "key=two.pub",
            &["wanted a signature by key", "found one by"],
        ),
        ("key=one.pub,signature=two", &["wanted a signature by key"]),
        (
            "key=one.pub,signature=manifest.sig",
            &["it is an SSH signature"],
        ),
        ("key=missing", &["\"missing\"", "No such file"]),
        ("signature=two", &["nobody whose it should be"]),
        (
            "allowed_signers=signers,signer=you",
            &["the signer wanted is \"you\""],
        ),
        ("digest_file=/dev/zero", &["more than 1048576 bytes"]),
        ("digest_file=signers", &["line 1"]),
    ] {
        let refused = scene.help(&format!("backing=tree,{options}"));
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(32), "{options}: {said}");
        assert_eq!(said.lines().count(), 1, "{options}: {said}");
        assert!(said.starts_with("mount.continuity: manifest is not trusted: "));
        for word in told {
            assert!(said.contains(word), "{word:?} is not in {said}");
        }
        assert!(mounts_at(&scene.path("mount")).is_empty());
    }
    for options in [
        "key=",
        "signer",
        "signature=a,signature=b",
        "require_signature=1",
    ] {
        let refused = scene.help(&format!("backing=tree,{options}"));
        assert_eq!(refused.status.code(), Some(1), "{options}");
    }
    let good = "key=two.pub,key=one.pub,allowed_signers=signers,digest_file=list";
    for options in [good, named] {
        let mounted = scene.help(&format!("backing=tree,require_signature,{options}"));
        assert!(mounted.status.success(), "{}", text(&mounted.stderr));
        assert_eq!(fs::read(scene.path("mount/file")).unwrap(), b"content\n");
        // mount(8) finds it by the name in fstab, also without anybody.
        let table = run("findmnt", ["-n", "-o", "SOURCE", &scene.at("mount")]);
        assert_eq!(table.trim_end(), "manifest");
        run("umount", [scene.path("mount")]);
    }
    // A bit of the manifest, and nothing decodes it any more.
    let mut bytes = fs::read(scene.path("manifest")).unwrap();
    bytes[0] ^= 1;
    fs::write(scene.path("manifest"), bytes).unwrap();
    for options in ["digest_file=list", "key=one.pub", "allowed_signers=signers"] {
        let refused = scene.help(&format!("backing=tree,{options}"));
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(32), "{said}");
        assert!(said.contains("is not trusted"), "{said}");
        assert!(!said.contains("at byte"), "{said}");
    }
}

#[test]
fn every_subcommand_asks() {
    let scene = Scene::new();
    for (arguments, status) in [
        (&["ls", "manifest"][..], 0),
        (&["stats", "manifest"], 0),
        (&["dump", "manifest"], 0),
        (&["verify", "tree", "manifest"], 0),
        (&["diff", "manifest", "tree"], 0),
        (&["diff", "tree", "manifest"], 0),
        (&["cat", "--source", "tree", "manifest", "/file"], 0),
        (
            &[
                "export", "--tar", "--source", "tree", "-o", "tar", "manifest",
            ],
            0,
        ),
        (&["apply", "--dry-run", "tree", "manifest"], 0),
    ] {
        for demand in [
            &["--key", "one.pub"][..],
            &["--allowed-signers", "signers", "--signer", "me@example.org"],
            &["--digest-file", "list", "--require-signature"],
        ] {
            let done = scene.run(&[arguments, demand].concat());
            let said = text(&done.stderr);
            assert_eq!(done.status.code(), Some(status), "{arguments:?}: {said}");
        }
        for demand in [
            &["--key", "two.pub"][..],
            &["--allowed-signers", "signers", "--signer", "you"],
            &["--require-signature"],
            &["--key", "one.pub", "--signature", "list"],
        ] {
            let refused = scene.run(&[arguments, demand].concat());
            let said = text(&refused.stderr);
            assert_eq!(refused.status.code(), Some(2), "{arguments:?}: {said}");
            assert!(said.contains("is not trusted: "), "{said}");
            assert_eq!(refused.stdout, b"");
        }
    }
    let refused = scene.run(&["diff", "--key", "one.pub", "tree", "tree"]);
    assert!(text(&refused.stderr).contains("neither side is a manifest"));
    let refused = continuity(["mount", "--signer", "a", "-o", "signer=b", "/", "/", "/"]);
    assert!(text(&refused.stderr).contains("signer is given on the command line and"));
}
