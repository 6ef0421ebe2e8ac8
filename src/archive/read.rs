//! A manifest of an archive, in one pass and without unpacking it.

use std::io;

use crate::build::whiteout::recognise;
use crate::build::{Convention, LeftOut, Options, content_of};
use crate::manifest::{Content, Kind, Manifest};
use crate::tar::{Entry, EntryKind, Extents, Fault, Input, Owners, Reader, TarError};
use crate::tree::{ContentHasher, Wanted};

use super::layer::{Layer, Mark};

/// The manifest of an archive, and what was met while it was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The manifest, sorted.
    pub manifest: Manifest,
    /// How many bytes of content were hashed.
    pub content: u64,
    /// What was left out.
    pub left_out: LeftOut,
}

/// Makes a manifest of an archive: of the tree that unpacking it would leave.
///
/// No file is ever held in memory. A later member replaces an earlier one of
/// the same name; what leads out of the tree or through a link is refused. Of
/// the selection in `options`, only that of devices counts. `owners` are those
/// whom ACLs name.
///
/// # Errors
/// See [`Fault`]. There is no manifest of only a part of an archive.
pub fn read(input: impl Input, owners: Owners, options: &Options) -> Result<Found, TarError> {
    let mut reader = Reader::new(input, Some(owners));
    let mut layer = Layer::default();
    let mut left_out = LeftOut::default();
    let mut hashed = 0_u64;
    let mut buffer = vec![0; BUFFER_SIZE];
    while let Some(entry) = reader.next_entry()? {
        let fault = |fault| TarError::of(entry.at, &entry.name, fault);
        let path = Layer::path(&entry)?;
        let mut metadata = entry.metadata.clone();
        options.read_metadata(&mut metadata);
        if options.whiteouts == Some(Convention::Aufs) {
            let mark = Mark::of(&path).map_err(|error| fault(Fault::Path(error)))?;
            if let Some(mark) = mark {
                layer.mark(mark, &entry, metadata);
                continue;
            }
        }
        layer.tree.check(&path, &entry)?;
        let mut kind = kind(&entry);
        if let (EntryKind::Regular(extents), Kind::Regular(content)) = (&entry.kind, &mut kind) {
            hashed = hashed.saturating_add(extents.size);
            *content = hash(&mut reader, extents, options, &mut buffer)
                .map_err(|error| fault(Fault::of_read(error)))?;
        }
        if options.whiteouts == Some(Convention::Overlay) {
            recognise(&mut metadata, &mut kind).map_err(|name| fault(Fault::LowerLayer(name)))?;
        }
        let is_device = matches!(kind, Kind::CharDevice(_) | Kind::BlockDevice(_));
        if is_device && !options.selection.devices && !metadata.whiteout {
            left_out.devices += 1;
            continue;
        }
        layer.tree.put(path, &entry, (metadata, kind))?;
    }
    Ok(Found {
        manifest: layer.finish()?,
        content: hashed,
        left_out,
    })
}

/// How many bytes are hashed at once.
const BUFFER_SIZE: usize = 256 << 10;

/// The kind, without digests. A hard link is given that of the file it names.
fn kind(entry: &Entry) -> Kind {
    match &entry.kind {
        EntryKind::Regular(_) | EntryKind::Link(_) => Kind::Regular(Content::default()),
        EntryKind::Directory => Kind::Directory,
        EntryKind::Symlink(target) => Kind::Symlink(target.clone()),
        EntryKind::Fifo => Kind::Fifo,
        EntryKind::CharDevice(number) => Kind::CharDevice(*number),
        EntryKind::BlockDevice(number) => Kind::BlockDevice(*number),
    }
}

/// Hashes the content of the member that came last.
fn hash<I: Input>(
    reader: &mut Reader<I>,
    extents: &Extents,
    options: &Options,
    buffer: &mut [u8],
) -> io::Result<Content> {
    let cut = options.chunks(extents.size);
    let mut hasher = ContentHasher::new(&Wanted {
        algorithms: &options.algorithms,
        chunks: cut.as_ref().map(|(algorithm, chunks)| (*algorithm, chunks)),
    });
    loop {
        let count = reader.read_content(buffer)?;
        let part = buffer.get(..count).unwrap_or_default();
        if part.is_empty() {
            break;
        }
        hasher.update(part);
        options.progress.add_bytes(count as u64);
    }
    options.progress.add_files(1);
    let hashes = hasher.finish();
    Ok(content_of(extents.size, hashes, cut))
}
