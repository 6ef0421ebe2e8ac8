//! Findings as JSON; `docs/output.md` has the shapes.

use std::io::{self, Write};

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::escape::{Hex, JsonFormatter, serialize_name};
use crate::manifest::Timestamp;

use super::Summary;
use super::finding::{BadChunks, Change, Difference, DifferenceKind, Finding, Sides, Trouble};

/// Writes findings, each as an object on a line, as they come.
#[derive(Debug)]
pub struct JsonFindings<W> {
    out: W,
    form: JsonForm,
    /// What stands before the next object.
    before: &'static str,
}

/// What stands around the objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonForm {
    /// An array.
    Array,
    /// Nothing: each line is a document (<https://jsonlines.org>).
    Lines,
}

impl<W: Write> JsonFindings<W> {
    /// Nothing is written yet.
    pub const fn new(out: W, form: JsonForm) -> Self {
        let before = match form {
            JsonForm::Array => "[\n",
            JsonForm::Lines => "",
        };
        Self { out, form, before }
    }

    /// Writes a finding.
    ///
    /// # Errors
    /// Whatever writing says.
    pub fn tell(&mut self, finding: &Finding) -> io::Result<()> {
        match finding {
            Finding::Different(difference) => self.write(&DifferenceObject(difference)),
            Finding::Trouble(trouble) => self.write(&TroubleObject(trouble)),
        }
    }

    /// Writes the summary, which is the last object; without it, something is
    /// missing.
    ///
    /// # Errors
    /// Whatever writing says.
    pub fn finish(self, summary: &Summary) -> io::Result<W> {
        self.finish_with(&SummaryObject(summary))
    }

    /// The same with a summary of another kind.
    ///
    /// # Errors
    /// Whatever writing says.
    pub fn finish_with(mut self, summary: &impl Serialize) -> io::Result<W> {
        self.write(summary)?;
        let end = match self.form {
            JsonForm::Array => "\n]\n",
            JsonForm::Lines => "\n",
        };
        self.out.write_all(end.as_bytes())?;
        Ok(self.out)
    }

    /// What has been written to.
    pub const fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    /// Writes a finding of another kind.
    ///
    /// # Errors
    /// Whatever writing says.
    pub fn write(&mut self, object: &impl Serialize) -> io::Result<()> {
        self.out.write_all(self.before.as_bytes())?;
        self.before = match self.form {
            JsonForm::Array => ",\n",
            JsonForm::Lines => "\n",
        };
        let mut serializer = serde_json::Serializer::with_formatter(&mut self.out, JsonFormatter);
        Ok(object.serialize(&mut serializer)?)
    }
}

struct DifferenceObject<'a>(&'a Difference);

impl Serialize for DifferenceObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Difference {
            path,
            file_type,
            kind,
        } = self.0;
        let mut map = serializer.serialize_map(None)?;
        let finding = match kind {
            DifferenceKind::Missing { .. } => "missing",
            DifferenceKind::Added => "added",
            DifferenceKind::Changed(_) => "changed",
        };
        map.serialize_entry("finding", finding)?;
        serialize_name(&mut map, "path", "path_hex", path.as_bytes())?;
        map.serialize_entry("type", file_type.word())?;
        if let DifferenceKind::Changed(changes) = kind {
            let changes: Vec<_> = changes.iter().map(ChangeObject).collect();
            map.serialize_entry("changes", &changes)?;
        }
        map.end()
    }
}

struct ChangeObject<'a>(&'a Change);

impl Serialize for ChangeObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        // An attribute of two parts has a word for each.
        let attribute = match self.0 {
            Change::Opaque(_) => "opaque",
            change => change.attribute().name(),
        };
        map.serialize_entry("attribute", attribute)?;
        match self.0 {
            Change::Type(modes) => put(&mut map, modes, |mode| mode.file_type().word()),
            Change::Mode(modes) => put(&mut map, modes, |m| format!("{:04o}", m.permissions())),
            Change::Uid(ids) | Change::Gid(ids) => put(&mut map, ids, |id| *id),
            Change::Mtime(times) => put(&mut map, times, |time| Time::from(*time)),
            Change::Xattr { name, values } => {
                serialize_name(&mut map, "name", "name_hex", name)?;
                put(&mut map, values, |value| {
                    value.as_ref().map(|value| Hex(value).to_string())
                })
            }
            Change::Size(sizes) => put(&mut map, sizes, |size| *size),
            Change::Digest(digests) => put(&mut map, digests, |digests| {
                let texts: Vec<_> = digests.iter().map(ToString::to_string).collect();
                texts
            }),
            Change::Chunks(chunks) => map.serialize_entry("chunks", &Chunks::from(*chunks)),
            Change::NoDigest => map.serialize_entry("reason", "no digest that can be compared"),
            Change::Target(Sides { wanted, found }) => {
                serialize_name(&mut map, "wanted", "wanted_hex", wanted)?;
                serialize_name(&mut map, "found", "found_hex", found)
            }
            Change::Device(numbers) => put(&mut map, numbers, |number| Device {
                major: number.major(),
                minor: number.minor(),
            }),
            Change::Links(Sides { wanted, found }) => {
                for (key, hex_key, path) in [
                    ("wanted", "wanted_hex", wanted),
                    ("found", "found_hex", found),
                ] {
                    match path {
                        Some(path) => serialize_name(&mut map, key, hex_key, path.as_bytes())?,
                        None => map.serialize_entry(key, &())?,
                    }
                }
                Ok(())
            }
            Change::Whiteout(sides) | Change::Opaque(sides) => put(&mut map, sides, |is| *is),
        }?;
        map.end()
    }
}

fn put<M: SerializeMap, T, V: Serialize>(
    map: &mut M,
    sides: &Sides<T>,
    value: impl Fn(&T) -> V,
) -> Result<(), M::Error> {
    map.serialize_entry("wanted", &value(&sides.wanted))?;
    map.serialize_entry("found", &value(&sides.found))
}

#[derive(Serialize)]
struct Time {
    seconds: i64,
    nanoseconds: u32,
}

impl From<Timestamp> for Time {
    fn from(time: Timestamp) -> Self {
        Self {
            seconds: time.seconds(),
            nanoseconds: time.nanoseconds(),
        }
    }
}

#[derive(Serialize)]
struct Device {
    major: u32,
    minor: u32,
}

#[derive(Serialize)]
struct Chunks {
    bad: u64,
    count: u64,
    offset: u64,
}

impl From<BadChunks> for Chunks {
    fn from(chunks: BadChunks) -> Self {
        let BadChunks { bad, count, offset } = chunks;
        Self { bad, count, offset }
    }
}

struct TroubleObject<'a>(&'a Trouble);

impl Serialize for TroubleObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("finding", "trouble")?;
        serialize_name(&mut map, "path", "path_hex", self.0.path.as_bytes())?;
        map.serialize_entry("message", &self.0.cause.to_string())?;
        map.end()
    }
}

struct SummaryObject<'a>(&'a Summary);

impl Serialize for SummaryObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("finding", "summary")?;
        for (name, count) in [
            ("resources", self.0.resources),
            ("missing", self.0.missing),
            ("added", self.0.added),
            ("changed", self.0.changed),
            ("content", self.0.content),
            ("differences", self.0.differences),
            ("troubles", self.0.troubles),
        ] {
            map.serialize_entry(name, &count)?;
        }
        map.end()
    }
}
