//! Resources made into bytes, always the same bytes for the same resources.

use prost::Message;
use prost::bytes::Bytes;
use prost::encoding::{WireType, encode_key, encode_varint};
use thiserror::Error;

use crate::mode::FileType;
use crate::path::ManifestPath;

use super::encoded::Encoded;
use super::model::{Carried, Chunks, Content, Info, Kind, Manifest, Metadata, Resource, Timestamp};
use super::record::{Section, manifest_field, resource_field};
use super::wire::proto;

/// How much of a manifest to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// All of it. Older readers skip what they do not know.
    Full,
    /// Exactly what the Go tool would write.
    Compat,
}

/// A resource that the compatible form has no place for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// The Go tool cannot have sockets.
    #[error("{0:?} is a socket, which the compatible form cannot hold")]
    Socket(ManifestPath),
    /// The Go tool cannot have names that are not UTF-8.
    #[error(
        "{0:?} has a name, a link target or an attribute name that is not UTF-8, which the compatible form cannot hold"
    )]
    NotUtf8(ManifestPath),
}

impl EncodeError {
    /// Which resource.
    #[must_use]
    pub const fn path(&self) -> &ManifestPath {
        match self {
            Self::Socket(path) | Self::NotUtf8(path) => path,
        }
    }
}

impl Manifest {
    /// Writes the manifest, sorted.
    ///
    /// # Errors
    /// Only in the compatible form; see [`EncodeError`].
    pub fn encode(&self, form: Form) -> Result<Vec<u8>, EncodeError> {
        let mut sorted: Vec<&Resource> = self.resources.iter().collect();
        sorted.sort_by(|one, two| one.path().cmp(two.path()));
        let encoded: Vec<Encoded> = sorted
            .into_iter()
            .map(|resource| resource.encode(form))
            .collect::<Result<_, _>>()?;
        let mut bytes = Vec::new();
        // Memory takes everything.
        let _ = self.write_encoded(form, encoded.iter(), &mut bytes);
        Ok(bytes)
    }
}

/// Refuses what the Go tool has no place for.
pub(super) fn check_form(resource: &Resource) -> Result<(), EncodeError> {
    let path = || resource.path().clone();
    match resource.kind {
        Kind::Socket => Err(EncodeError::Socket(path())),
        _ if section(resource) == Section::Special => Err(EncodeError::NotUtf8(path())),
        _ if has_raw_name(resource) => Err(EncodeError::NotUtf8(path())),
        _ => Ok(()),
    }
}

/// What stands between the resources and the special ones.
pub(super) fn encode_header(manifest: &Manifest) -> Vec<u8> {
    let mut bytes = Vec::new();
    let carried = &manifest.carried;
    if manifest.info != Info::default() || !carried.info.is_empty() {
        let mut info = encode_info(&manifest.info).encode_to_vec();
        info.extend_from_slice(&carried.info);
        put(manifest_field::INFO, &info, &mut bytes);
    }
    if let Some(root) = &manifest.root {
        let root = encode_root(root, &carried.root);
        put(manifest_field::ROOT, &root, &mut bytes);
    }
    bytes
}

pub(super) fn put(number: u32, message: &[u8], bytes: &mut Vec<u8>) {
    // No key and no length has more than ten bytes.
    bytes.reserve_exact(message.len().saturating_add(20));
    encode_key(number, WireType::LengthDelimited, bytes);
    encode_varint(message.len() as u64, bytes);
    bytes.extend_from_slice(message);
}

/// Older readers fail on a socket, and on any string that is not UTF-8.
pub(super) fn section(resource: &Resource) -> Section {
    let special = match &resource.kind {
        Kind::Socket => true,
        Kind::Symlink(target) => std::str::from_utf8(target).is_err(),
        _ => false,
    };
    if special || has_raw_path(resource) {
        Section::Special
    } else {
        Section::Resource
    }
}

fn has_raw_path(resource: &Resource) -> bool {
    resource
        .paths
        .iter()
        .any(|path| std::str::from_utf8(path.as_bytes()).is_err())
}

/// Of the attributes that the Go tool would write, one has no UTF-8 name.
fn has_raw_name(resource: &Resource) -> bool {
    old_readers_take_xattrs(&resource.metadata)
        && resource
            .metadata
            .xattrs
            .iter()
            .any(|xattr| std::str::from_utf8(&xattr.name).is_err())
}

/// The Go tool records attributes of files and directories only, and its
/// `verify` fails when something else has any.
fn old_readers_take_xattrs(metadata: &Metadata) -> bool {
    matches!(
        metadata.mode.file_type(),
        FileType::Regular | FileType::Directory
    )
}

fn encode_info(info: &Info) -> proto::ManifestInfo {
    proto::ManifestInfo {
        version: info.version,
        generator: info.generator.clone(),
        required_feature: Vec::new(),
        base: info.base.clone(),
    }
}

fn encode_root(metadata: &Metadata, carried: &Carried) -> Vec<u8> {
    encode(&[], metadata, &Kind::Directory, Some(carried), Form::Full)
}

pub(super) fn encode_resource(resource: &Resource, form: Form) -> Vec<u8> {
    encode(
        &resource.paths,
        &resource.metadata,
        &resource.kind,
        resource.carried.as_deref(),
        form,
    )
}

/// A resource, and behind what is known what is not.
fn encode(
    paths: &[ManifestPath],
    metadata: &Metadata,
    kind: &Kind,
    carried: Option<&Carried>,
    form: Form,
) -> Vec<u8> {
    let mut resource = proto::Resource {
        uid: i64::from(metadata.uid),
        gid: i64::from(metadata.gid),
        mode: metadata.mode.to_go(),
        ..Default::default()
    };
    let mut extension = proto::ResourceExtension {
        mtime: metadata.mtime.map(encode_time),
        ctime: metadata.ctime.map(encode_time),
        whiteout: metadata.whiteout.then(proto::Whiteout::default),
        opaque: metadata.opaque,
        user: metadata.user.clone(),
        group: metadata.group.clone(),
        ..Default::default()
    };
    encode_paths(paths, &mut resource, &mut extension);
    encode_xattrs(metadata, &mut resource, &mut extension);
    match kind {
        Kind::Regular(content) => encode_content(content, &mut resource, &mut extension),
        Kind::Symlink(target) => match std::str::from_utf8(target) {
            Ok(target) => target.clone_into(&mut resource.target),
            Err(_) => extension.raw_target = Bytes::copy_from_slice(target),
        },
        Kind::CharDevice(number) | Kind::BlockDevice(number) => {
            resource.major = u64::from(number.major());
            resource.minor = u64::from(number.minor());
        }
        Kind::Directory | Kind::Fifo | Kind::Socket => {}
    }
    if form == Form::Compat {
        return resource.encode_to_vec();
    }
    if let Some(carried) = carried {
        encode_carried(carried, &mut resource);
    }
    let mut bytes = resource.encode_to_vec();
    let mut extension = extension.encode_to_vec();
    extension.extend(carried.iter().flat_map(|carried| &carried.extension));
    if !extension.is_empty() {
        put(resource_field::EXTENSION, &extension, &mut bytes);
    }
    bytes.extend(carried.iter().flat_map(|carried| &carried.unknown));
    bytes
}

fn encode_paths(
    paths: &[ManifestPath],
    resource: &mut proto::Resource,
    extension: &mut proto::ResourceExtension,
) {
    let strings: Result<Vec<_>, _> = paths
        .iter()
        .map(|path| std::str::from_utf8(path.as_bytes()).map(str::to_owned))
        .collect();
    match strings {
        Ok(strings) => resource.path = strings,
        Err(_) => {
            extension.raw_path = paths
                .iter()
                .map(|path| Bytes::copy_from_slice(path.as_bytes()))
                .collect();
        }
    }
}

fn encode_xattrs(
    metadata: &Metadata,
    resource: &mut proto::Resource,
    extension: &mut proto::ResourceExtension,
) {
    let plain = old_readers_take_xattrs(metadata);
    for xattr in &metadata.xattrs {
        let data = Bytes::copy_from_slice(&xattr.value);
        match std::str::from_utf8(&xattr.name) {
            Ok(name) if plain => resource.xattr.push(proto::XAttr {
                name: name.to_owned(),
                data,
            }),
            _ => extension.raw_xattr.push(proto::RawXAttr {
                name: Bytes::copy_from_slice(&xattr.name),
                data,
            }),
        }
    }
}

fn encode_content(
    content: &Content,
    resource: &mut proto::Resource,
    extension: &mut proto::ResourceExtension,
) {
    resource.size = content.size;
    resource.digest = content
        .digests
        .iter()
        .map(ToString::to_string)
        .chain(content.unknown_digests.iter().cloned())
        .collect();
    extension.chunks = content.chunks.as_ref().map(|table| {
        let (chunk_size, length) = match &table.chunks {
            Chunks::Fixed(size) => (*size, Vec::new()),
            Chunks::Lengths(lengths) => (0, lengths.clone()),
        };
        proto::ChunkTable {
            algorithm: table.algorithm.name().to_owned(),
            chunk_size,
            length,
            digest: Bytes::copy_from_slice(&table.digests),
        }
    });
}

fn encode_carried(carried: &Carried, resource: &mut proto::Resource) {
    carried.user.clone_into(&mut resource.user);
    carried.group.clone_into(&mut resource.group);
    resource.ads = carried
        .streams
        .iter()
        .map(|stream| proto::AdsEntry {
            name: stream.name.clone(),
            data: Bytes::copy_from_slice(&stream.data),
            digest: stream.digest.clone(),
        })
        .collect();
}

fn encode_time(time: Timestamp) -> proto::Timestamp {
    proto::Timestamp {
        seconds: time.seconds(),
        nanos: time.nanoseconds(),
    }
}
