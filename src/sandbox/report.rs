//! What came of it.

use std::fmt;

use serde::Serialize;

use super::{Cause, Layer, Mode, SandboxError};

/// The state of each layer; one line in the log, an object in a status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What was asked for.
    pub mode: Mode,
    /// The layers that were asked for, in their order.
    pub layers: Vec<LayerState>,
}

/// A layer and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayerState {
    /// Which.
    pub layer: Layer,
    /// What came of it.
    #[serde(flatten)]
    pub state: State,
}

/// What came of one layer, with a few words about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "detail", rename_all = "lowercase")]
pub enum State {
    /// It is there.
    Full(String),
    /// It is there, and this kernel lacks a part of it that other layers make up
    /// for.
    Partial(String),
    /// It is not there.
    Missing(String),
}

impl Report {
    pub(super) const fn new(mode: Mode) -> Self {
        Self {
            mode,
            layers: Vec::new(),
        }
    }

    pub(super) fn set(&mut self, layer: Layer, state: State) {
        self.layers.push(LayerState { layer, state });
    }

    /// What came of a layer that was asked for; an error only where it is required.
    pub(super) fn enter(
        &mut self,
        layer: Layer,
        state: Result<State, Cause>,
    ) -> Result<(), SandboxError> {
        let state = match state {
            Ok(state) => state,
            Err(cause) if self.mode == Mode::BestEffort => State::Missing(cause.to_string()),
            Err(cause) => return Err(SandboxError::Layer { layer, cause }),
        };
        self.set(layer, state);
        Ok(())
    }

    /// What came of one layer.
    #[must_use]
    pub fn state(&self, layer: Layer) -> Option<&State> {
        let found = self.layers.iter().find(|found| found.layer == layer);
        found.map(|found| &found.state)
    }

    /// Whether a layer is missing that was asked for.
    #[must_use]
    pub fn is_missing_any(&self) -> bool {
        let mut states = self.layers.iter().map(|layer| &layer.state);
        states.any(|state| matches!(state, State::Missing(_)))
    }
}

impl State {
    /// One word: `full`, `partial` or `missing`.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Full(_) => "full",
            Self::Partial(_) => "partial",
            Self::Missing(_) => "missing",
        }
    }

    /// What there is to say of it.
    #[must_use]
    pub fn detail(&self) -> &str {
        match self {
            Self::Full(detail) | Self::Partial(detail) | Self::Missing(detail) => detail,
        }
    }
}

/// `sandbox=required landlock=full(abi 7) …`
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sandbox={}", self.mode)?;
        for LayerState { layer, state } in &self.layers {
            write!(f, " {layer}={}({})", state.word(), state.detail())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_a_line_and_as_json() {
        let mut report = Report::new(Mode::BestEffort);
        report.set(Layer::Landlock, State::Missing("no such call".into()));
        report.set(Layer::Seccomp, State::Full("50 calls".into()));
        assert_eq!(
            report.to_string(),
            "sandbox=best-effort landlock=missing(no such call) seccomp=full(50 calls)"
        );
        assert!(report.is_missing_any());
        assert_eq!(
            serde_json::to_value(&report).unwrap(),
            serde_json::json!({
                "mode": "best-effort",
                "layers": [
                    {"layer": "landlock", "state": "missing", "detail": "no such call"},
                    {"layer": "seccomp", "state": "full", "detail": "50 calls"},
                ],
            })
        );
    }
}
