//! What happened to a mount, for the status.

/// What happened to a mount under this supervisor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// How many workers there were before.
    pub restarts: u32,
    /// How many manifests there were before.
    pub reloads: u32,
    /// How many requests nobody had answered, and were asked for again.
    pub lost: u64,
}

impl Counts {
    pub(super) fn to_bytes(self) -> impl Iterator<Item = u8> {
        let counts = [self.restarts.into(), self.reloads.into(), self.lost];
        counts.into_iter().flat_map(u64::to_le_bytes)
    }

    /// The counts at the beginning of these bytes, and the rest.
    pub(super) fn parse(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (restarts, rest) = bytes.split_first_chunk()?;
        let (reloads, rest) = rest.split_first_chunk()?;
        let (lost, rest) = rest.split_first_chunk()?;
        let counts = Self {
            restarts: u64::from_le_bytes(*restarts).try_into().ok()?,
            reloads: u64::from_le_bytes(*reloads).try_into().ok()?,
            lost: u64::from_le_bytes(*lost),
        };
        Some((counts, rest))
    }
}
