//! Checking the whole of a large file that has no chunk table, before the first of
//! its bytes is let out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::block::Plan;
use super::declared::Declared;
use super::error::VerifyError;
use super::pass::Pass;
use super::table::Table;
use super::verifier::Verifier;

impl Verifier {
    /// Whether a read needs no work but on the blocks that it touches.
    #[must_use]
    pub fn is_prepared(&self, declared: &Declared<'_>) -> bool {
        !matches!(self.plan(declared), Ok(Plan::Private(_)))
            || self.tables.kept().contains(&declared.id)
    }

    /// Checks the whole of a file that is to be read in blocks and has no
    /// declared ones. [`Self::read`] does it too, if it was not done before.
    /// `read` counts the bytes that came so far, for whoever wants to see whether
    /// it gets on.
    ///
    /// # Errors
    /// When the file is refused.
    pub fn prepare(&self, declared: &Declared<'_>, read: &AtomicU64) -> Result<(), VerifyError> {
        match self.plan(declared) {
            Ok(Plan::Private(_)) => self.table(declared, read).map(drop),
            _ => Ok(()),
        }
    }

    /// Ends passes over whole files soon, which fail; also those that begin later.
    /// Nobody wants the end of them any more.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// The private table of a large file; the whole of it is checked for that.
    pub(super) fn table(
        &self,
        declared: &Declared<'_>,
        read: &AtomicU64,
    ) -> Result<Arc<Table>, VerifyError> {
        let size = |table: &Arc<Table>| Some(table.bytes());
        let patience = self.options.patience;
        let table = self.tables.get_or_make(declared.id, patience, size, || {
            self.plan(declared)
                .and_then(|plan| {
                    let pass = self.pass(declared, plan, read);
                    self.files
                        .with(declared, |file| Table::fill(&self.key, &pass, file))
                })
                .map(Arc::new)
                .map_err(|reason| VerifyError::new(declared, None, 0..declared.size, reason))
        });
        table.unwrap_or_else(|| Err(self.stalled(declared, 0, declared.size)))
    }

    pub(super) fn pass<'a>(
        &'a self,
        declared: &'a Declared<'a>,
        plan: Plan<'a>,
        read: &'a AtomicU64,
    ) -> Pass<'a> {
        Pass {
            declared,
            plan,
            read,
            stopped: &self.stopped,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::thread;
    use std::time::{Duration, Instant};

    use crate::digest::Algorithm;
    use crate::path::ManifestPath;
    use crate::source::{ContentRef, Source, SourceError, SourceFile};
    use crate::verify::{FileId, Options, Reason, Whole};

    use super::*;

    /// Files that go on for ever.
    #[derive(Debug)]
    struct Endless;

    impl Source for Endless {
        fn open(&self, _: &ContentRef<'_>) -> Result<Box<dyn SourceFile>, SourceError> {
            Ok(Box::new(Self))
        }
    }

    impl SourceFile for Endless {
        fn read_at(&self, buffer: &mut [u8], _: u64) -> io::Result<usize> {
            Ok(buffer.len())
        }
    }

    #[test]
    fn a_pass_that_nobody_wants_ends() {
        let path = ManifestPath::parse(b"/file").unwrap();
        let digest = Algorithm::Sha256.hash(b"something else");
        let declared = Declared {
            id: FileId(7),
            path: &path,
            size: 1 << 60,
            whole: Whole::Many(&[digest]),
            chunks: None,
        };
        let verifier = Verifier::new(Box::new(Endless), Options::default()).unwrap();
        let read = AtomicU64::new(0);
        let has_ended = |checked: Result<(), VerifyError>| {
            let reason = &checked.as_ref().unwrap_err().refused().reason;
            assert!(matches!(reason, Reason::Stopped), "{checked:?}");
        };
        thread::scope(|scope| {
            let checking = scope.spawn(|| verifier.prepare(&declared, &read));
            let begin = Instant::now();
            while read.load(Ordering::Relaxed) == 0 {
                assert!(begin.elapsed() < Duration::from_secs(60));
                thread::yield_now();
            }
            verifier.stop();
            has_ended(checking.join().unwrap());
        });
        has_ended(verifier.prepare(&declared, &read));
    }
}
