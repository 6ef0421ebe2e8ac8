//! Findings as JSON; `docs/output.md` has the shapes.

use std::io::{self, Write};

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::escape::{JsonFormatter, serialize_name};

use super::finding::{Cause, Finding, Summary};

/// Writes an array with an object a finding, as they come, and the summary last.
#[derive(Debug)]
pub struct JsonFindings<W> {
    out: W,
    /// What stands before the next object.
    before: &'static str,
}

impl<W: Write> JsonFindings<W> {
    /// Nothing is written yet.
    pub const fn new(out: W) -> Self {
        Self { out, before: "[\n" }
    }

    /// Writes a finding.
    ///
    /// # Errors
    /// Whatever writing says.
    pub fn tell(&mut self, finding: &Finding) -> io::Result<()> {
        self.write(&FindingObject(finding))
    }

    /// Writes the summary; without it, something is missing.
    ///
    /// # Errors
    /// Whatever writing says.
    pub fn finish(mut self, summary: &Summary) -> io::Result<W> {
        self.write(&SummaryObject {
            finding: "summary",
            inodes: summary.inodes,
            warnings: summary.warnings,
        })?;
        self.out.write_all(b"\n]\n")?;
        Ok(self.out)
    }

    fn write(&mut self, object: &impl Serialize) -> io::Result<()> {
        self.out.write_all(self.before.as_bytes())?;
        self.before = ",\n";
        let mut serializer = serde_json::Serializer::with_formatter(&mut self.out, JsonFormatter);
        Ok(object.serialize(&mut serializer)?)
    }
}

#[derive(Serialize)]
struct SummaryObject {
    finding: &'static str,
    inodes: u64,
    warnings: u64,
}

struct FindingObject<'a>(&'a Finding);

impl Serialize for FindingObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Finding {
            path,
            file_type,
            cause,
        } = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("finding", cause.word())?;
        serialize_name(&mut map, "path", "path_hex", path.as_bytes())?;
        map.serialize_entry("type", &file_type.map(|found| found.word()))?;
        match cause {
            Cause::MissingTarget { wanted, .. } | Cause::WrongTarget { wanted, .. } => {
                map.serialize_entry("wanted", wanted.word())?;
            }
            Cause::LinkedTarget(target) | Cause::LeavesRoot(target) => {
                serialize_name(&mut map, "target", "target_hex", target)?;
            }
            Cause::ClosedRoot(mode) => map.serialize_entry("mode", &format!("{mode:04o}"))?,
            Cause::Setuid(id) | Cause::Setgid(id) => map.serialize_entry("id", id)?,
            Cause::Owner { id, max, .. } => {
                map.serialize_entry("id", id)?;
                map.serialize_entry("max", max)?;
            }
            Cause::Device(number) => {
                map.serialize_entry("major", &number.major())?;
                map.serialize_entry("minor", &number.minor())?;
            }
            Cause::OverlayAttribute(name) => {
                serialize_name(&mut map, "name", "name_hex", name)?;
            }
            Cause::Capabilities | Cause::Whiteout | Cause::NoDigest => {}
        }
        map.serialize_entry("message", &cause.to_string())?;
        map.end()
    }
}
