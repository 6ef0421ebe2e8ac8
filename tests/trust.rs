//! Who vouches for a manifest: what minisign(1) and ssh-keygen(1) sign is taken,
//! and what anybody else makes of it is not.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod tree;

use std::fs;
use std::path::PathBuf;

use continuity::digest::Algorithm;
use continuity::trust::{Demands, KeySource, Moment, NAMESPACE, Policy, TrustError, Voucher};
use sha2::{Digest as _, Sha256};
use ssh_key::public::{KeyData, SkEd25519};
use ssh_key::{HashAlg, PrivateKey, SshSig};
use tempfile::TempDir;
use tree::{scratch, sh};

/// A manifest, keys, and signatures of all kinds.
const MAKE: &str = r"
printf '\012\006\012\002/a\050\001' >manifest
cp manifest other; printf 'x' >>other
for key in one two; do minisign -G -W -p $key.pub -s $key.sec >out; done
minisign -S -s one.sec -m manifest -t 'release 7' >out
minisign -S -s one.sec -m other >out
minisign -S -l -s one.sec -m manifest -x legacy >out
for type in ed25519 ecdsa rsa; do ssh-keygen -q -t $type -N '' -C me -f $type; done
ssh-keygen -q -t ecdsa -b 384 -N '' -C me -f p384
ssh-keygen -q -t ed25519 -N '' -C other -f stranger
sign() { ssh-keygen -q -Y sign -n $1 -f $2 - <$3; }
sign continuity-manifest ed25519 manifest >manifest.sig
sign continuity-manifest ed25519 other >other.sig
sign continuity-manifest ecdsa manifest >ecdsa.sig
sign continuity-manifest rsa manifest >rsa.sig
sign continuity-manifest p384 manifest >p384.sig
sign continuity-manifest stranger manifest >stranger.sig
sign file ed25519 manifest >file.sig
sign continuity-manifest2 ed25519 manifest >longer.sig
ssh-keygen -q -Y sign -O hashalg=sha256 -n continuity-manifest -f ed25519 - <manifest >sha256.sig
cp ed25519 certified; ssh-keygen -q -s stranger -I id -n me certified 2>out
cp ed25519.pub certified.pub; ssh-keygen -q -s stranger -I id -n me certified.pub 2>out
ssh-keygen -q -Y sign -n continuity-manifest -f certified-cert.pub - <manifest >cert.sig
for key in ed25519 ecdsa rsa p384; do echo me@example.org $(cat $key.pub); done >signers
";

struct Scene(TempDir);

/// 2026-07-01.
const NOW: Moment = Moment(1_782_864_000);

impl Scene {
    fn new() -> Self {
        let scene = Self(scratch());
        sh(scene.0.path(), MAKE);
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    fn minisign(&self, key: &str, signature: &str) -> Demands {
        Demands {
            keys: vec![KeySource::parse(self.path(key).as_os_str())],
            signature: Some(self.path(signature)),
            ..Demands::default()
        }
    }

    fn ssh(&self, signers: &str, signature: &str) -> Demands {
        Demands {
            allowed_signers: Some(self.path(signers)),
            signature: Some(self.path(signature)),
            ..Demands::default()
        }
    }

    /// What is said of a manifest, with all causes.
    fn judge(&self, demands: &Demands, bytes: &[u8]) -> Result<Voucher, String> {
        Policy::open(demands, Some(&self.path("manifest")))
            .and_then(|policy| policy.check(bytes, NOW))
            .map_err(|error| say(&error))
    }

    fn judge_manifest(&self, demands: &Demands) -> Result<Voucher, String> {
        self.judge(demands, &self.read("manifest"))
    }
}

fn say(error: &TrustError) -> String {
    let mut said = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        said += ": ";
        said += &cause.to_string();
        next = cause.source();
    }
    said
}

fn flip(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut flipped = bytes.to_vec();
    flipped[bit / 8] ^= 1 << (bit % 8);
    flipped
}

#[test]
fn takes_what_minisign_signs() {
    let scene = Scene::new();
    let voucher = scene
        .judge_manifest(&scene.minisign("one.pub", "manifest.minisig"))
        .unwrap();
    let signed = voucher.minisign.clone().unwrap();
    assert_eq!(signed.comment, "release 7");
    let public = String::from_utf8(scene.read("one.pub")).unwrap();
    assert!(public.contains(signed.key.to_string().trim_start_matches('0')));
    assert_eq!(
        voucher.to_string(),
        format!("minisign={} comment=\"release 7\"", signed.key)
    );
    // The key itself, several keys, and the signature where it is by itself.
    let demands = Demands {
        keys: vec![
            KeySource::parse(scene.path("two.pub").as_os_str()),
            KeySource::parse(public.lines().nth(1).unwrap().as_ref()),
        ],
        ..Demands::default()
    };
    assert!(matches!(demands.keys[1], KeySource::Key(_)));
    assert_eq!(scene.judge_manifest(&demands), Ok(voucher));
}

#[test]
fn takes_what_ssh_keygen_signs() {
    let scene = Scene::new();
    for signature in ["manifest.sig", "ecdsa.sig", "sha256.sig"] {
        let voucher = scene
            .judge_manifest(&scene.ssh("signers", signature))
            .unwrap();
        let signed = voucher.ssh.unwrap();
        assert!(signed.key.starts_with("SHA256:"));
        assert_eq!(signed.signer, "me@example.org");
    }
    // Beside the manifest, and with the lines of other systems and programs.
    let beside = Demands {
        signature: None,
        ..scene.ssh("signers", "")
    };
    scene.judge_manifest(&beside).unwrap();
    for name in ["manifest.sig", "manifest.minisig", "one.pub"] {
        let text = String::from_utf8(scene.read(name)).unwrap();
        scene.write(&format!("{name}.dos"), text.replace('\n', "\r\n"));
    }
    let signature = String::from_utf8(scene.read("manifest.sig")).unwrap();
    let lines: Vec<&str> = signature.lines().collect();
    let body = lines[1..lines.len() - 1].concat();
    let (head, tail) = body.split_at(64);
    let (first, last) = (lines[0], lines[lines.len() - 1]);
    scene.write("short.sig", format!("{first}\n{head}\n{tail}\n{last}\n"));
    for name in ["manifest.sig.dos", "short.sig"] {
        scene.judge_manifest(&scene.ssh("signers", name)).unwrap();
    }
    scene
        .judge_manifest(&scene.minisign("one.pub.dos", "manifest.minisig.dos"))
        .unwrap();
}

#[test]
fn every_flipped_bit_of_a_manifest_is_refused() {
    let scene = Scene::new();
    let manifest = scene.read("manifest");
    let pinned = Demands {
        digests: vec![Algorithm::Sha256.hash(&manifest)],
        ..Demands::default()
    };
    for demands in [
        pinned,
        scene.minisign("one.pub", "manifest.minisig"),
        scene.ssh("signers", "manifest.sig"),
        scene.ssh("signers", "ecdsa.sig"),
    ] {
        let policy = Policy::open(&demands, None).unwrap();
        policy.check(&manifest, NOW).unwrap();
        for bit in 0..manifest.len() * 8 {
            assert!(policy.check(&flip(&manifest, bit), NOW).is_err(), "{bit}");
        }
        for length in 0..manifest.len() {
            assert!(policy.check(&manifest[..length], NOW).is_err(), "{length}");
        }
        assert!(policy.check(&[&*manifest, b"\0"].concat(), NOW).is_err());
    }
}

#[test]
fn every_flipped_bit_of_a_signature_is_refused() {
    let scene = Scene::new();
    let free = b"untrusted comment: ".len();
    for (demands, name) in [
        (scene.minisign("one.pub", "changed"), "manifest.minisig"),
        (scene.ssh("signers", "changed"), "manifest.sig"),
        (scene.ssh("signers", "changed"), "ecdsa.sig"),
    ] {
        let signature = scene.read(name);
        // Who signs does not vouch for minisign's first comment.
        let comment = match name {
            "manifest.minisig" => free..signature.iter().position(|byte| *byte == b'\n').unwrap(),
            _ => 0..0,
        };
        // This one takes long: one bit of each byte.
        let step = if name == "ecdsa.sig" { 9 } else { 1 };
        // The last byte ends the last line, which may be missing.
        for bit in (0..(signature.len() - 1) * 8).step_by(step) {
            if comment.contains(&(bit / 8)) {
                continue;
            }
            scene.write("changed", flip(&signature, bit));
            assert!(scene.judge_manifest(&demands).is_err(), "{name}, bit {bit}");
        }
        for length in 0..signature.len() - 1 {
            scene.write("changed", &signature[..length]);
            assert!(scene.judge_manifest(&demands).is_err(), "{name}, {length}");
        }
        scene.write("changed", &signature[..signature.len() - 1]);
        scene.judge_manifest(&demands).unwrap();
    }
}

#[test]
fn tells_what_it_wanted_and_what_it_found() {
    let scene = Scene::new();
    let twice = |name: &str| [scene.read(name), scene.read(name)].concat();
    scene.write("two.minisig", twice("manifest.minisig"));
    scene.write("two.sig", twice("manifest.sig"));
    scene.write(
        "front.sig",
        [b"Hello\n", &*scene.read("manifest.sig")].concat(),
    );
    scene.write(
        "back.sig",
        [&*scene.read("manifest.sig"), b"Hello\n"].concat(),
    );
    scene.write("empty", "");
    scene.write("blank", "\n \n");
    scene.write("binary", b"\xff\xfe");
    scene.write("text", "hello\n");
    scene.write("long", vec![b'a'; (64 << 10) + 1]);
    scene.write(
        "noisy.minisig",
        "untrusted comment: \x1b[2J\nRU\x1b[2J\ntrusted comment: \x07\n\x1b\n",
    );
    let minisign = |signature: &str| scene.minisign("one.pub", signature);
    let ssh = |signature: &str| scene.ssh("signers", signature);
    for (demands, told) in [
        (minisign("other.minisig"), "is not one of these bytes"),
        (
            scene.minisign("two.pub", "manifest.minisig"),
            "wanted a signature by key ",
        ),
        (minisign("legacy"), "it is a legacy signature"),
        (minisign("manifest.sig"), "it is an SSH signature"),
        (minisign("two.minisig"), "more in it than one signature"),
        (minisign("manifest"), "it is no signature of minisign"),
        (minisign("noisy.minisig"), "it is no signature of minisign"),
        (minisign("text"), "it is no signature of minisign"),
        (minisign("empty"), "it is empty"),
        (minisign("blank"), "it is empty"),
        (minisign("binary"), "it is not text"),
        (minisign("long"), "it has more than 65536 bytes"),
        (minisign("missing"), "No such file"),
        (
            scene.minisign("one.sec", "manifest.minisig"),
            "it is a secret key",
        ),
        (
            scene.minisign("text", "manifest.minisig"),
            "it is no public key",
        ),
        (
            scene.minisign("long", "manifest.minisig"),
            "more than 65536 bytes",
        ),
        (
            scene.minisign("missing", "manifest.minisig"),
            "cannot use the key",
        ),
        (ssh("other.sig"), "is not one of these bytes"),
        (
            ssh("stranger.sig"),
            "which is not among the allowed signers",
        ),
        (
            ssh("file.sig"),
            r#"wanted a signature for "continuity-manifest" (ssh-keygen -n), found one for "file""#,
        ),
        (ssh("longer.sig"), r#"found one for "continuity-manifest2""#),
        (ssh("rsa.sig"), "type ssh-rsa, which is not supported"),
        (
            ssh("p384.sig"),
            "type ecdsa-sha2-nistp384, which is not supported",
        ),
        (
            ssh("cert.sig"),
            "type ssh-ed25519-cert-v01@openssh.com, which is not supported",
        ),
        (ssh("manifest.minisig"), "it is a signature of minisign"),
        (ssh("two.sig"), "more in it than one signature"),
        (ssh("front.sig"), "it is no SSH signature"),
        (ssh("back.sig"), "it is no SSH signature"),
        (ssh("text"), "it is no SSH signature"),
        (ssh("empty"), "it is empty"),
        (ssh("long"), "more than 65536 bytes"),
        (ssh("missing"), "No such file"),
        (
            scene.ssh("text", "manifest.sig"),
            "line 1: principals and a key are wanted",
        ),
        (
            scene.ssh("missing", "manifest.sig"),
            "cannot use the allowed signers",
        ),
    ] {
        let error = scene.judge_manifest(&demands).unwrap_err();
        assert!(error.contains(told), "{told:?} is not in {error:?}");
        assert!(!error.contains(['\x1b', '\n', '\x07']), "{error:?}");
    }
}

#[test]
fn allowed_signers_are_held_to_their_lines() {
    let scene = Scene::new();
    let key = String::from_utf8(scene.read("ed25519.pub")).unwrap();
    let judge = |lines: &str, signer: Option<&str>| {
        scene.write("lines", lines.replace("KEY", key.trim_end()));
        scene.judge_manifest(&Demands {
            signer: signer.map(str::to_owned),
            ..scene.ssh("lines", "manifest.sig")
        })
    };
    for (lines, signer) in [
        ("a KEY", None),
        ("a KEY", Some("a")),
        ("*@b KEY", Some("a@b")),
        ("a namespaces=\"continuity-*\" KEY", None),
        ("a namespaces=\"git,continuity-manifest\" KEY", None),
        (
            "a valid-after=\"20260701Z\",valid-before=\"20260701Z0\" KEY",
            None,
        ),
        ("a valid-after=\"20260701Z\" KEY", None),
        ("a valid-before=\"20260701Z\" KEY", None),
        ("a namespaces=\"git\" KEY\na KEY", None),
        ("b KEY\na KEY\nc KEY", Some("a")),
    ] {
        let judged = judge(lines, signer);
        // One line has a time that is none.
        let wanted = !lines.contains("Z0");
        assert_eq!(judged.is_ok(), wanted, "{lines}: {judged:?}");
        if let (Ok(voucher), Some(signer)) = (judged, signer) {
            assert_eq!(voucher.ssh.unwrap().signer, signer);
        }
    }
    for (lines, signer, told) in [
        (
            "a KEY",
            Some("b"),
            r#"line 1 of the allowed signers is for "a", and the signer wanted is "b""#,
        ),
        ("a,!a KEY", Some("a"), "the signer wanted is"),
        ("a KEY\nb KEY", Some("c"), "line 2"),
        ("\x1b KEY", Some("c"), r#"is for "\x1b""#),
        (
            "a namespaces=\"git\" KEY",
            None,
            r#"is for the namespaces "git", and this is "continuity-manifest""#,
        ),
        (
            "a namespaces=\"*,!continuity-manifest\" KEY",
            None,
            "is for the namespaces",
        ),
        (
            "a valid-before=\"20260630235959Z\" KEY",
            None,
            "was valid until 2026-06-30T23:59:59Z",
        ),
        (
            "a valid-after=\"20260701000001Z\" KEY",
            None,
            "is valid from 2026-07-01T00:00:01Z",
        ),
        (
            "a cert-authority KEY",
            None,
            "line 1: option cert-authority is not supported",
        ),
        (
            "a KEY\nb touch=\"no\" KEY",
            None,
            "line 2: option \"touch=\\\"no\\\"\" is not supported",
        ),
        ("# nobody", None, "not among the allowed signers"),
    ] {
        let error = judge(lines, signer).unwrap_err();
        assert!(error.contains(told), "{lines:?}: {error}");
        assert!(!error.contains('\x1b'));
    }
}

/// What ssh-keygen itself takes and refuses, of lines that both understand.
#[test]
fn ssh_keygen_agrees_on_lines() {
    let scene = Scene::new();
    let key = String::from_utf8(scene.read("ed25519.pub")).unwrap();
    for (line, is_good) in [
        ("a KEY", true),
        ("\"a\" KEY", true),
        ("b,a KEY", true),
        ("?,!b KEY", true),
        ("*,!a KEY", false),
        ("A KEY", false),
        ("a namespaces=\"continuity-manifest\" KEY", true),
        ("a NAMESPACES=\"x,c*\" KEY", true),
        ("a namespaces=\"x\" KEY", false),
        ("a namespaces=continuity-manifest KEY", false),
        ("a namespaces=\"c*\",namespaces=\"c*\" KEY", false),
        ("a valid-after=\"20200101Z\" KEY", true),
        ("a valid-before=\"20200101Z\" KEY", false),
        (
            "a valid-after=\"20200101Z\",valid-before=\"20200101Z\" KEY",
            false,
        ),
        ("a unknown KEY", false),
    ] {
        let line = line.replace("KEY", key.trim_end());
        scene.write("line", format!("{line}\n"));
        let theirs = std::process::Command::new("ssh-keygen")
            .args([
                "-Y", "verify", "-I", "a", "-n", NAMESPACE, "-f", "line", "-s",
            ])
            .arg("manifest.sig")
            .current_dir(scene.0.path())
            .stdin(fs::File::open(scene.path("manifest")).unwrap())
            .output()
            .unwrap();
        assert_eq!(theirs.status.success(), is_good, "{line}");
        let ours = scene.judge_manifest(&Demands {
            signer: Some("a".to_owned()),
            ..scene.ssh("line", "manifest.sig")
        });
        assert_eq!(ours.is_ok(), is_good, "{line}: {ours:?}");
    }
}

#[test]
fn a_security_key_has_to_be_touched() {
    let scene = Scene::new();
    let manifest = scene.read("manifest");
    let private = PrivateKey::read_openssh_file(&scene.path("ed25519")).unwrap();
    let pair = private.key_data().ed25519().unwrap();
    let application = "ssh:continuity";
    let key = KeyData::SkEd25519(SkEd25519::new(pair.public, application));
    let line = ssh_key::PublicKey::from(key.clone()).to_openssh().unwrap();
    scene.write("signers", format!("me {line}\n"));
    let signed = SshSig::signed_data(NAMESPACE, HashAlg::Sha512, &manifest).unwrap();
    for (flags, is_good) in [(1_u8, true), (5, true), (0, false), (4, false)] {
        // As U2F has it: application, flags, counter, message.
        let trailer = [&[flags][..], &7_u32.to_be_bytes()].concat();
        let data = [
            &Sha256::digest(application)[..],
            &trailer,
            &Sha256::digest(&signed)[..],
        ]
        .concat();
        let signature = ssh_key::private::KeypairData::from(pair.clone());
        let signature = sign(&signature, &data);
        let signature = ssh_key::Signature::new(
            ssh_key::Algorithm::SkEd25519,
            [signature.as_bytes(), &trailer].concat(),
        )
        .unwrap();
        let whole = SshSig::new(key.clone(), NAMESPACE, HashAlg::Sha512, signature).unwrap();
        scene.write("sk.sig", whole.to_pem(ssh_key::LineEnding::LF).unwrap());
        let ours = scene.judge_manifest(&scene.ssh("signers", "sk.sig"));
        match is_good {
            true => {
                ours.unwrap();
                // And OpenSSH takes it for one.
                sh(
                    scene.0.path(),
                    "ssh-keygen -Y verify -I me -n continuity-manifest -f signers -s sk.sig <manifest",
                );
            }
            false => assert!(ours.unwrap_err().contains("without touching it")),
        }
        let other = scene.judge(&scene.ssh("signers", "sk.sig"), b"other");
        assert!(other.unwrap_err().contains("is not one of these bytes"));
    }
}

fn sign(key: &ssh_key::private::KeypairData, data: &[u8]) -> ssh_key::Signature {
    use ssh_key::SigningKey;
    let key = PrivateKey::new(key.clone(), "").unwrap();
    // A trait object, for its method is that of another crate.
    let key: &dyn SigningKey = &key;
    key.try_sign(data).unwrap()
}

#[test]
fn all_that_is_demanded_must_hold() {
    let scene = Scene::new();
    let (good, bad) = (scene.read("manifest"), scene.read("other"));
    let pin = |bytes: &[u8]| vec![Algorithm::Sha256.hash(bytes)];
    let with_all = |bytes: &[u8]| Demands {
        digests: pin(bytes),
        keys: scene.minisign("one.pub", "").keys,
        allowed_signers: Some(scene.path("signers")),
        signer: Some("me@example.org".to_owned()),
        required: true,
        ..Demands::default()
    };
    let voucher = scene.judge(&with_all(&good), &good).unwrap();
    assert!(voucher.pin.is_some() && voucher.minisign.is_some() && voucher.ssh.is_some());
    assert_eq!(voucher.to_string().matches('=').count(), 5);
    // Signed, but not the one that is pinned; pinned, but not signed so.
    assert!(scene.judge(&with_all(&bad), &good).is_err());
    assert!(scene.judge(&with_all(&bad), &bad).is_err());
    let list = scene.write("list", "# none\n");
    fs::remove_file(scene.path("manifest.sig")).unwrap();
    assert!(scene.judge(&with_all(&good), &good).is_err());

    let signed = scene.minisign("one.pub", "manifest.minisig");
    for (demands, told) in [
        (
            Demands {
                required: true,
                ..Demands::default()
            },
            "required, and none was asked for",
        ),
        (
            Demands {
                signature: Some(list.clone()),
                ..Demands::default()
            },
            "nobody whose it should be",
        ),
        (
            Demands {
                signature: Some(list.clone()),
                digests: pin(&good),
                ..Demands::default()
            },
            "nobody whose it should be",
        ),
        (
            Demands {
                signer: Some("me".to_owned()),
                ..signed.clone()
            },
            "--allowed-signers",
        ),
        (
            Demands {
                allowed_signers: Some(scene.path("signers")),
                ..signed
            },
            "with both kinds of keys",
        ),
        (
            Demands {
                digest_files: vec![list],
                ..Demands::default()
            },
            "no digest in it",
        ),
    ] {
        let error = scene.judge(&demands, &good).unwrap_err();
        assert!(error.contains(told), "{error}");
    }
    // Nobody is asked, so nobody answers.
    assert!(scene.judge(&Demands::default(), &bad).unwrap().is_nobody());
    let nameless = Demands {
        signature: None,
        ..scene.minisign("one.pub", "")
    };
    assert!(matches!(
        Policy::open(&nameless, None),
        Err(TrustError::NoName)
    ));
}

#[test]
fn lists_of_digests_are_those_of_sha256sum() {
    let scene = Scene::new();
    sh(
        scene.0.path(),
        "touch 'odd\nname'; sha256sum 'odd\nname' other manifest >list; sha512sum manifest >list512",
    );
    for (list, bytes, is_good) in [
        ("list", "manifest", true),
        ("list", "other", true),
        ("list", "signers", false),
        ("list512", "manifest", true),
        ("list512", "other", false),
    ] {
        let demands = Demands {
            digest_files: vec![scene.path(list)],
            ..Demands::default()
        };
        let judged = scene.judge(&demands, &scene.read(bytes));
        assert_eq!(judged.is_ok(), is_good, "{list} {bytes}");
    }
}

#[test]
fn a_hostile_comment_is_shown_escaped() {
    let scene = Scene::new();
    sh(
        scene.0.path(),
        "minisign -S -s one.sec -m manifest -x noisy -t \"$(printf 'a\\033[2J\"b\\\\')\" >out",
    );
    let voucher = scene
        .judge_manifest(&scene.minisign("one.pub", "noisy"))
        .unwrap();
    let shown = voucher.to_string();
    assert!(shown.ends_with(r#"comment="a\x1b[2J\"b\\""#), "{shown}");
}
