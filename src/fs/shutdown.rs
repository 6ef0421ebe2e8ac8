//! What follows when content is refused (`errors=`): an error for whoever reads it, or
//! the end of the whole view.

use std::fmt;
use std::sync::OnceLock;

use crate::verify::VerifyError;

/// What follows when content is not what is declared. The words are those of
/// ext4(5) and of the kernel's dm-verity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnRefusal {
    /// Whoever reads it gets an error; everything else is as before.
    #[default]
    Error,
    /// Whoever reads it gets an error, and from then on everybody does.
    Shutdown,
}

impl OnRefusal {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "eio",
            Self::Shutdown => "shutdown",
        }
    }
}

type Tell = Box<dyn Fn() + Send + Sync>;

/// Whether the view has ended, and by what.
#[derive(Default)]
pub(super) struct Shutdown {
    pub(super) on_refusal: OnRefusal,
    cause: OnceLock<VerifyError>,
    tell: OnceLock<Tell>,
}

impl Shutdown {
    pub(super) fn new(on_refusal: OnRefusal) -> Self {
        Self {
            on_refusal,
            ..Self::default()
        }
    }

    /// Has somebody told, once, when the view ends.
    pub(super) fn when(&self, tell: Tell) {
        // There is one who wants to know.
        let _ = self.tell.set(tell);
    }

    /// Takes notice of a refusal; whether that ends the view.
    pub(super) fn note(&self, error: &VerifyError) -> bool {
        let refused = error.refused();
        if self.on_refusal == OnRefusal::Error || !refused.reason.word().is_of_content() {
            return false;
        }
        // From here on nothing is given out.
        if self.cause.set(error.clone()).is_err() {
            return true;
        }
        log::error!(
            "event=shutdown path={:?} {refused} nothing more is given out until it is mounted anew (errors=shutdown)",
            refused.path
        );
        if let Some(tell) = self.tell.get() {
            tell();
        }
        true
    }

    /// The refusal that ended the view.
    pub(super) fn cause(&self) -> Option<&VerifyError> {
        self.cause.get()
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown")
            .field("on_refusal", &self.on_refusal)
            .field("cause", &self.cause)
            .finish_non_exhaustive()
    }
}
