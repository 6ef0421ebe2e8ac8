//! A file that was changed in the backing, as seen from inside.

use std::fs;

use crate::bundle::{Bundle, RUNTIMES};
use crate::debian::debian;
use crate::inside::WHOLE;
use crate::scene::{Scene, mount, succeeds};
use crate::stacked::Overlay;

#[test]
fn the_reader_inside_gets_an_error_and_the_log_names_the_file() {
    let scene = Scene::new();
    let manifest = scene.debian();
    // A Debian of our own, of which two files are changed.
    let backing = Overlay::new(scene.path(), &[&debian()], "");
    for file in ["usr/bin/sort", "etc/issue"] {
        let path = backing.join(file);
        let mut content = fs::read(&path).unwrap();
        *content.last_mut().unwrap() ^= 1;
        fs::write(&path, content).unwrap();
    }
    let debian = mount(&manifest, backing.path(), "allow_other,suid");
    let script = r#"
if cat /etc/issue 2>/tmp/error; then exit 1; fi
grep -q 'Input/output error' /tmp/error
status=0; sort /etc/passwd 2>/tmp/error || status=$?
test $status = 126
test "$(cat /etc/issue.net | wc -l)" = 1
dpkg --verify >/tmp/differs 2>&1 || true
grep -q '/usr/bin/sort' /tmp/differs
"#;
    for runtime in RUNTIMES {
        let bundle = Bundle::read_only(debian.path());
        succeeds(runtime.name(), &bundle.run(runtime, script));
    }
    for file in ["/usr/bin/sort", "/etc/issue"] {
        let line = format!("event=refused reason=digest_mismatch path=\"{file}\"");
        assert!(debian.log().contains(&line), "{}", debian.log());
    }
    // When it is mended, so is what is seen.
    for file in ["usr/bin/sort", "etc/issue"] {
        fs::copy(crate::debian::debian().join(file), backing.join(file)).unwrap();
    }
    for runtime in RUNTIMES {
        let bundle = Bundle::read_only(debian.path());
        succeeds(runtime.name(), &bundle.run(runtime, WHOLE));
    }
}
