//! Our decoder of manifests beside prost's, which knows nothing of ours: what both
//! take has the same values, what prost refuses we refuse, and where we refuse what
//! prost takes, what prost has read breaks the rule that we name.

use std::collections::BTreeSet;

use continuity::manifest::{
    Chunks, Form, Kind, Manifest, ManifestError, Metadata, Place, Records, Resource, Rule, Section,
    Timestamp, check_wire,
};
use prost::Message;

use super::LIMITS;
use super::independent::{self as theirs, ResourceExtension};

/// A manifest, by two decoders.
pub fn differential(bytes: &[u8]) {
    let theirs = theirs::Manifest::decode(bytes);
    if check_wire(bytes).is_err() {
        assert!(theirs.is_err(), "prost takes what we say is no message");
    }
    match (Manifest::read(bytes, &LIMITS), theirs) {
        (Ok(ours), Ok(theirs)) => {
            compare(bytes, &ours, theirs);
            let Ok(written) = ours.encode(Form::Full) else {
                return;
            };
            let theirs = theirs::Manifest::decode(&*written).expect("prost refuses what we write");
            let again = Manifest::read(&written, &LIMITS).expect("what was written is refused");
            compare(&written, &again, theirs);
        }
        (Ok(_), Err(error)) => {
            // Go takes a known field of another wire type for an unknown one, and so
            // do we (tests/wire_cases.rs). prost counts messages among nested groups.
            let error = error.to_string();
            assert!(
                error.contains("invalid wire type: ") || error.contains("recursion limit"),
                "we take what prost refuses: {error}"
            );
        }
        (Err(error), Ok(theirs)) => {
            assert!(
                is_broken(&error, &theirs) || is_joined(&error, bytes),
                "prost sees no reason for: {error}"
            );
        }
        (Err(_), Err(_)) => {}
    }
}

fn compare(bytes: &[u8], ours: &Manifest, theirs: theirs::Manifest) {
    let info = theirs.info.unwrap_or_default();
    assert_eq!(ours.info.version, info.version);
    assert_eq!(ours.info.generator, info.generator);
    assert_eq!(ours.info.base, info.base);
    assert_eq!(ours.root.is_some(), theirs.root.is_some());
    if let (Some(ours), Some(theirs)) = (&ours.root, &theirs.root) {
        compare_metadata(ours, theirs, &theirs.extension.clone().unwrap_or_default());
    }
    let (mut plain, mut special) = (theirs.resource.iter(), theirs.special.iter());
    let mut resources = ours.resources.iter();
    // We read them in the order of the bytes; prost has a list of each kind.
    for section in sections(bytes) {
        let theirs = match section {
            Section::Resource => plain.next(),
            Section::Special => special.next(),
            Section::Root => continue,
        };
        let ours = resources.next().expect("we have fewer resources");
        compare_resource(ours, theirs.expect("prost has fewer resources"));
    }
    assert_eq!(resources.len() + plain.len() + special.len(), 0);
}

fn sections(bytes: &[u8]) -> impl Iterator<Item = Section> {
    Records::new(bytes).map(|record| record.expect("it was read").0)
}

fn compare_resource(ours: &Resource, theirs: &theirs::Resource) {
    let extension = theirs.extension.clone().unwrap_or_default();
    let wanted: BTreeSet<_> = paths(theirs, &extension).collect();
    assert!(ours.paths.iter().map(|path| path.as_bytes()).eq(wanted));
    compare_metadata(&ours.metadata, theirs, &extension);
    match &ours.kind {
        Kind::Regular(content) => {
            assert_eq!(content.size, theirs.size);
            let digests = content.digests.iter().map(ToString::to_string);
            let mut digests: Vec<_> = digests.chain(content.unknown_digests.clone()).collect();
            let mut wanted = theirs.digest.clone();
            digests.sort();
            wanted.sort();
            assert_eq!(digests, wanted);
            match (&content.chunks, &extension.chunks) {
                (Some(ours), Some(theirs)) => {
                    assert_eq!(ours.algorithm.to_string(), theirs.algorithm);
                    assert_eq!(ours.digests, theirs.digest);
                    let (size, lengths) = match &ours.chunks {
                        Chunks::Fixed(size) => (*size, Vec::new()),
                        Chunks::Lengths(lengths) => (0, lengths.clone()),
                    };
                    assert_eq!((size, lengths), (theirs.chunk_size, theirs.length.clone()));
                }
                (None, Some(theirs)) => assert_eq!(digest_length(&theirs.algorithm), None),
                (ours, None) => assert_eq!(*ours, None),
            }
        }
        Kind::Symlink(target) => {
            // An empty raw target counts for prost as none.
            let wanted = match &*extension.raw_target {
                [] => theirs.target.as_bytes(),
                raw => raw,
            };
            assert_eq!(**target, *wanted);
        }
        Kind::CharDevice(number) | Kind::BlockDevice(number) => {
            let number = (u64::from(number.major()), u64::from(number.minor()));
            assert_eq!(number, (theirs.major, theirs.minor));
        }
        Kind::Directory | Kind::Fifo | Kind::Socket => {}
    }
    let carried = ours.carried.clone().unwrap_or_default();
    assert_eq!(
        (&carried.user, &carried.group),
        (&theirs.user, &theirs.group)
    );
    let streams = carried.streams.into_iter().map(|ours| theirs::AdsEntry {
        name: ours.name,
        data: ours.data,
        digest: ours.digest,
    });
    assert!(streams.eq(theirs.ads.iter().cloned()));
}

fn compare_metadata(ours: &Metadata, theirs: &theirs::Resource, extension: &ResourceExtension) {
    assert_eq!(ours.mode.to_go(), theirs.mode);
    assert_eq!(i64::from(ours.uid), theirs.uid);
    assert_eq!(i64::from(ours.gid), theirs.gid);
    let time = |time: Option<theirs::Timestamp>| {
        time.map(|time| Timestamp::new(time.seconds, time.nanos).expect("we took it"))
    };
    assert_eq!(ours.mtime, time(extension.mtime));
    assert_eq!(ours.ctime, time(extension.ctime));
    assert_eq!(ours.whiteout, extension.whiteout.is_some());
    assert_eq!(ours.opaque, extension.opaque);
    assert_eq!(
        (&ours.user, &ours.group),
        (&extension.user, &extension.group)
    );
    let wanted: BTreeSet<_> = xattrs(theirs, extension).collect();
    let xattrs = ours
        .xattrs
        .iter()
        .map(|xattr| (&*xattr.name, &*xattr.value));
    assert!(xattrs.eq(wanted));
}

fn paths<'a>(
    resource: &'a theirs::Resource,
    extension: &'a ResourceExtension,
) -> impl Iterator<Item = &'a [u8]> {
    let plain = resource.path.iter().map(String::as_bytes);
    plain.chain(extension.raw_path.iter().map(Vec::as_slice))
}

fn xattrs<'a>(
    resource: &'a theirs::Resource,
    extension: &'a ResourceExtension,
) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    let plain = resource.xattr.iter();
    let plain = plain.map(|xattr| (xattr.name.as_bytes(), &*xattr.data));
    let raw = extension.raw_xattr.iter();
    plain.chain(raw.map(|xattr| (&*xattr.name, &*xattr.data)))
}

/// Whether prost has joined what we refuse with another one: there is one root, and where
/// it stands twice, what stands in the later one counts.
fn is_joined(error: &ManifestError, bytes: &[u8]) -> bool {
    let is_of_root =
        matches!(error, ManifestError::Resource(place, _) if place.section == Section::Root);
    let roots = Records::new(bytes).flatten();
    is_of_root && roots.filter(|record| record.0 == Section::Root).count() > 1
}

/// Whether what prost has read breaks the rule for which we refuse it.
fn is_broken(error: &ManifestError, theirs: &theirs::Manifest) -> bool {
    match error {
        ManifestError::Feature(feature) => theirs.info.as_ref().is_some_and(|info| {
            let mut features = info.required_feature.iter();
            features.any(|required| required.starts_with(feature))
        }),
        ManifestError::Count(most) => (theirs.resource.len() + theirs.special.len()) as u64 > *most,
        ManifestError::Resource(place, rule) => {
            let resource = match place.section {
                Section::Resource => theirs.resource.get(place.index as usize),
                Section::Special => theirs.special.get(place.index as usize),
                Section::Root => theirs.root.as_ref(),
            };
            resource.is_some_and(|resource| breaks(resource, rule, place))
        }
        // prost would have refused that; and a tree is not made here.
        ManifestError::Wire(_) | ManifestError::Tree(..) => false,
    }
}

fn breaks(resource: &theirs::Resource, rule: &Rule, place: &Place) -> bool {
    let extension = resource.extension.clone().unwrap_or_default();
    let all: Vec<&[u8]> = paths(resource, &extension).collect();
    let has = |is: &dyn Fn(&[u8]) -> bool| all.iter().any(|path| is(path));
    let xattrs: Vec<_> = xattrs(resource, &extension).collect();
    let is_directory = resource.mode & TYPES == 1 << 31;
    match rule {
        Rule::NoPath => all.is_empty(),
        Rule::Path(_) => has(&|path| !is_path(path)),
        Rule::MixedPaths => {
            let raw = extension.raw_path.len();
            raw > 0 && (raw < all.len() || place.section != Section::Special)
        }
        Rule::Depth { limit, .. } => {
            has(&|path| path.iter().filter(|byte| **byte == b'/').count() > *limit)
        }
        Rule::RepeatedPath(path) => all.iter().filter(|other| ***other == **path).count() > 1,
        Rule::Links(most) => all.len() > *most,
        Rule::DirectoryLinks => is_directory && all.len() > 1,
        Rule::RootType(_) => {
            !is_directory && (place.section == Section::Root || has(&|path| path == b"/"))
        }
        // prost has joined them.
        Rule::SecondRoot => place.section == Section::Root,
        Rule::Mode(_) => !is_mode(resource.mode),
        // prost has cut them to 32 bits.
        Rule::WideMode(mode) => *mode > u64::from(u32::MAX) && resource.mode == *mode as u32,
        Rule::Nanoseconds(found) => {
            let times = [extension.mtime, extension.ctime].into_iter().flatten();
            *found > 999_999_999 && { times }.any(|time| time.nanos == *found as u32)
        }
        Rule::Owner { value, .. } => {
            !(0..i64::from(u32::MAX)).contains(value)
                && (resource.uid == *value || resource.gid == *value)
        }
        Rule::Size(size) => resource.size == *size && *size > i64::MAX as u64,
        Rule::Digest(_) => resource.digest.iter().any(|digest| !is_digest(digest)),
        Rule::Digests(most) => resource.digest.len() > *most,
        Rule::Target(length) => {
            let target = match &*extension.raw_target {
                [] if *length == 0 => return true,
                [] => resource.target.as_bytes(),
                raw => raw,
            };
            target.len() == *length && (*length > 4095 || target.contains(&0))
        }
        Rule::Device { major, minor } => {
            (resource.major, resource.minor) == (*major, *minor)
                && (*major >= 1 << 12 || *minor >= 1 << 20)
        }
        Rule::XattrName(_) => {
            let is_bad = |name: &[u8]| name.is_empty() || name.len() > 255 || name.contains(&0);
            xattrs.iter().any(|(name, _)| is_bad(name))
        }
        Rule::XattrValue { .. } => xattrs.iter().any(|(_, value)| value.len() > 65_536),
        Rule::XattrList => xattrs.iter().map(|(name, _)| name.len() + 1).sum::<usize>() > 65_536,
        Rule::RepeatedXattr(name) => {
            xattrs.iter().filter(|(other, _)| **other == **name).count() > 1
        }
        Rule::Stream(name) => resource.ads.iter().any(|stream| {
            stream.name.as_bytes() == &**name
                && !stream.data.is_empty()
                && !stream.digest.is_empty()
        }),
        Rule::Chunks(_) => extension
            .chunks
            .is_some_and(|chunks| !fits(&chunks, resource.size)),
        // prost would have refused it.
        Rule::Extension(_) => false,
        // Of whole trees.
        Rule::DuplicatePath
        | Rule::ParentNotDirectory { .. }
        | Rule::Crowded(_)
        | Rule::Capacity => false,
    }
}

/// Go's `ModeType`, and the bit of character devices.
const TYPES: u32 = 0x8f28_0000;

/// The kinds of file by Go's bits: regular, directory, symlink, device, character
/// device, pipe, socket; and no bit beside them but permissions, setuid and so on.
fn is_mode(mode: u32) -> bool {
    let kinds = [
        0,
        1 << 31,
        1 << 27,
        1 << 26,
        1 << 26 | 1 << 21,
        1 << 25,
        1 << 24,
    ];
    kinds.contains(&(mode & TYPES)) && mode & !TYPES & !0x70d0_01ff == 0
}

fn is_path(path: &[u8]) -> bool {
    let is_name = |name: &[u8]| {
        !name.is_empty() && name != b"." && name != b".." && name.len() <= 255 && !name.contains(&0)
    };
    path == b"/"
        || path.len() < 4096
            && path
                .strip_prefix(b"/")
                .is_some_and(|names| names.split(|byte| *byte == b'/').all(is_name))
}

/// How many digits a digest has, of the algorithms that are known.
fn digest_length(algorithm: &str) -> Option<usize> {
    match algorithm {
        "sha256" | "blake3" => Some(64),
        "sha384" => Some(96),
        "sha512" => Some(128),
        _ => None,
    }
}

fn is_digest(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else {
        return false;
    };
    !algorithm.is_empty()
        && digest_length(algorithm).is_none_or(|length| {
            hex.len() == length
                && hex
                    .bytes()
                    .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        })
}

/// Whether a table has a digest for each chunk of a file of this size.
fn fits(chunks: &theirs::ChunkTable, size: u64) -> bool {
    let Some(digits) = digest_length(&chunks.algorithm) else {
        return true;
    };
    let length = digits / 2;
    let count = chunks.digest.len() / length;
    let is_cut = match (chunks.chunk_size, &*chunks.length) {
        (0, []) => size == 0 && count == 0,
        (0, lengths) => {
            let sum: u128 = lengths.iter().map(|length| u128::from(*length)).sum();
            !lengths.contains(&0) && lengths.len() == count && sum == u128::from(size)
        }
        (chunk, []) => size.div_ceil(chunk) == count as u64,
        (_, [_, ..]) => false,
    };
    is_cut && count * length == chunks.digest.len()
}
