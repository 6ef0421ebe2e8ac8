//! A worker that dies below a container.

use crate::bundle::{Bundle, Runtime};
use crate::scene::{Scene, mount_debian, succeeds};

#[test]
fn nobody_inside_sees_it() {
    let scene = Scene::new();
    let debian = mount_debian(&scene, "allow_other,suid");
    let bundle = Bundle::read_only(debian.path());
    // Every file of every package is read, again and again.
    let script = r#"for again in 1 2 3; do test -z "$(dpkg --verify)"; done"#;
    std::thread::scope(|scope| {
        let container = scope.spawn(|| bundle.run(Runtime::Runc, script));
        for _ in 0..3 {
            let worker = debian.worker();
            std::thread::sleep(std::time::Duration::from_millis(300));
            debian.signal_worker("KILL");
            crate::mounted::wait_until(
                || debian.worker() != worker,
                || format!("no other worker: {}", debian.log()),
            );
        }
        succeeds("runc", &container.join().unwrap());
    });
    assert!(debian.log().contains("event=worker_died next=again"));
}
