//! An archive of a manifest, with content that is verified while it is written.

use std::io::Write;
use std::thread;

use crate::build::Convention;
use crate::inode::{InodeTable, RootOwner};
use crate::manifest::{Kind, Limits, Manifest, Metadata, Resource, Xattr};
use crate::mode::{FileMode, FileType};
use crate::path::ManifestPath;
use crate::progress::Progress;
use crate::tar::{Member, MemberKind, Writer};
use crate::verify::Verifier;

use super::ahead::{Content, read_ahead};
use super::error::WriteError;
use super::plan::{Plan, Planned, What, as_written, xattrs};

/// How to write an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteOptions {
    /// How whiteouts and opaque directories are written; left out where there
    /// is `None`.
    pub whiteouts: Option<Convention>,
    /// Bounds on what the manifest may hold.
    pub limits: Limits,
    /// On how many threads content is read and checked; 0 for one on each
    /// processor.
    pub jobs: usize,
}

/// As container images have it.
impl Default for WriteOptions {
    fn default() -> Self {
        Self {
            whiteouts: Some(Convention::Aufs),
            limits: Limits::default(),
            jobs: 0,
        }
    }
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// How many members.
    pub members: u64,
    /// How many bytes of content.
    pub content: u64,
    /// Sockets, which no archive has a place for.
    pub sockets_left_out: Vec<ManifestPath>,
    /// How many whiteouts were not wanted.
    pub whiteouts_left_out: u64,
}

/// Writes an archive of all that a manifest declares: the same bytes whenever
/// the manifest is the same. Every byte of content was hashed and matched.
///
/// # Errors
/// See [`WriteError`]. What was written until then has no end mark.
pub fn write(
    manifest: &[u8],
    verifier: &Verifier,
    options: &WriteOptions,
    progress: &Progress,
    out: impl Write,
) -> Result<Written, WriteError> {
    // It also finds what is wrong with the tree as a whole.
    let table = InodeTable::build(manifest, &options.limits, RootOwner::default())?;
    let manifest = Manifest::read(manifest, &options.limits)?;
    let plan = Plan::of(
        manifest.root.as_ref(),
        &manifest.resources,
        options.whiteouts,
    )?;
    let (files, bytes) = total(&plan);
    progress.begin(files, bytes);
    thread::scope(|scope| {
        let files = plan.members.iter().filter_map(with_content);
        let content = read_ahead(scope, files, &table, verifier, options.jobs);
        let mut archive = Archive {
            writer: Writer::new(out),
            content: content.map_err(WriteError::Output)?,
            options,
            progress,
        };
        let mut written = Written {
            sockets_left_out: plan
                .sockets
                .iter()
                .map(|socket| socket.path().clone())
                .collect(),
            whiteouts_left_out: plan.whiteouts_left_out,
            ..Written::default()
        };
        for planned in &plan.members {
            written.content += archive.put(planned)?;
            written.members += 1;
        }
        let finished = archive.writer.finish();
        finished
            .and_then(|mut out| out.flush())
            .map_err(WriteError::Output)?;
        Ok(written)
    })
}

fn total(plan: &Plan<'_>) -> (u64, u64) {
    let mut files = 0;
    let mut bytes = 0_u64;
    for resource in plan.members.iter().filter_map(with_content) {
        files += 1;
        if let Kind::Regular(content) = &resource.kind {
            bytes = bytes.saturating_add(content.size);
        }
    }
    (files, bytes)
}

/// The regular file that a member has the content of.
fn with_content<'a>(planned: &Planned<'a>) -> Option<&'a Resource> {
    match planned.what {
        What::Resource(resource) if matches!(resource.kind, Kind::Regular(_)) => Some(resource),
        _ => None,
    }
}

struct Archive<'a, W> {
    writer: Writer<W>,
    content: Content,
    options: &'a WriteOptions,
    progress: &'a Progress,
}

impl<W: Write> Archive<'_, W> {
    /// Writes a member, and tells how many bytes of content it has.
    fn put(&mut self, planned: &Planned<'_>) -> Result<u64, WriteError> {
        let path = &planned.path;
        match planned.what {
            What::Root(metadata) => {
                let xattrs = xattrs(metadata, self.options.whiteouts);
                self.begin(path, metadata, &xattrs, MemberKind::Directory)?;
                Ok(0)
            }
            What::Mark(metadata) => {
                let mut metadata = metadata.clone();
                metadata.mode = FileMode::new(FileType::Regular, 0o644);
                self.begin(path, &metadata, &[], MemberKind::Regular(0))?;
                Ok(0)
            }
            What::Link(resource, target) => {
                let target = target.relative().as_encoded_bytes();
                let metadata = as_written(resource);
                self.begin(path, &metadata, &[], MemberKind::Link(target))?;
                Ok(0)
            }
            What::Resource(resource) => self.put_resource(path, resource),
        }
    }

    fn put_resource(
        &mut self,
        path: &ManifestPath,
        resource: &Resource,
    ) -> Result<u64, WriteError> {
        let metadata = as_written(resource);
        let xattrs = xattrs(&metadata, self.options.whiteouts);
        let kind = match &resource.kind {
            _ if metadata.whiteout => {
                MemberKind::CharDevice(crate::manifest::DeviceNumber::decode(0))
            }
            Kind::Regular(content) => MemberKind::Regular(content.size),
            Kind::Directory => MemberKind::Directory,
            Kind::Symlink(target) => MemberKind::Symlink(target),
            Kind::Fifo => MemberKind::Fifo,
            Kind::CharDevice(number) => MemberKind::CharDevice(*number),
            Kind::BlockDevice(number) => MemberKind::BlockDevice(*number),
            // Left out of the plan.
            Kind::Socket => return Ok(0),
        };
        self.begin(path, &metadata, &xattrs, kind)?;
        let MemberKind::Regular(size) = kind else {
            return Ok(0);
        };
        let mut left = size;
        while left > 0 {
            let part = self
                .content
                .next()
                .map_err(WriteError::Output)?
                .map_err(WriteError::Refused)?;
            self.writer.content(&part).map_err(WriteError::Output)?;
            self.progress.add_bytes(part.len() as u64);
            left = left.saturating_sub(part.len() as u64);
        }
        self.progress.add_files(1);
        Ok(size)
    }

    fn begin(
        &mut self,
        path: &ManifestPath,
        metadata: &Metadata,
        xattrs: &[Xattr],
        kind: MemberKind<'_>,
    ) -> Result<(), WriteError> {
        self.writer
            .begin(&Member {
                name: path.relative().as_encoded_bytes(),
                metadata,
                xattrs,
                kind,
            })
            .map_err(WriteError::Output)
    }
}
