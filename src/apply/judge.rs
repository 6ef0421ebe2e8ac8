//! What content is hashed for: to be compared with what is declared, or to be
//! told to whoever asked for it.

use crate::digest::{Algorithm, Digest};
use crate::manifest::Chunks;
use crate::path::ManifestPath;
use crate::tree::{ContentHasher, Hashes, Wanted};
use crate::verify::Declared;

use super::event::Cause;
use super::options::{Evidence, Options};
use super::record::Record;

/// What is hashed of a file, and what for.
#[derive(Debug)]
pub(super) struct Judge<'a> {
    algorithms: Vec<Algorithm>,
    chunks: Option<(Algorithm, Chunks)>,
    purpose: Purpose<'a>,
}

#[derive(Debug)]
enum Purpose<'a> {
    Compare {
        digests: Vec<Digest>,
        /// Those of the chunks, one after the other.
        chunks: Option<Vec<u8>>,
    },
    Record(&'a Record, ManifestPath),
}

impl<'a> Judge<'a> {
    /// `None` where nothing is to be hashed.
    pub fn new(declared: &Declared<'_>, options: &'a Options) -> Result<Option<Self>, Cause> {
        match &options.evidence {
            Evidence::Digests if options.digests => Self::comparing(declared),
            Evidence::Digests | Evidence::Source(None) => Ok(None),
            Evidence::Source(Some(record)) => Ok(Some(Self {
                algorithms: record.algorithms().to_vec(),
                chunks: record.cut(declared.size),
                purpose: Purpose::Record(record, declared.path.path()),
            })),
        }
    }

    fn comparing(declared: &Declared<'_>) -> Result<Option<Self>, Cause> {
        if declared.whole.is_empty() && declared.chunks.is_none() {
            // That there is nothing needs no digest.
            return match declared.size {
                0 => Ok(None),
                _ => Err(Cause::NoDigest),
            };
        }
        let digests: Vec<Digest> = declared.whole.iter().collect();
        let mut algorithms: Vec<_> = digests.iter().map(Digest::algorithm).collect();
        algorithms.dedup();
        Ok(Some(Self {
            algorithms,
            chunks: declared
                .chunks
                .map(|chunks| (chunks.algorithm, chunks.cut())),
            purpose: Purpose::Compare {
                digests,
                chunks: declared.chunks.map(|chunks| chunks.digests.to_vec()),
            },
        }))
    }

    pub fn hasher(&self) -> ContentHasher<'_> {
        ContentHasher::new(&Wanted {
            algorithms: &self.algorithms,
            chunks: self
                .chunks
                .as_ref()
                .map(|(algorithm, cut)| (*algorithm, cut)),
        })
    }

    /// Compares what was hashed, or keeps it.
    pub fn judge(&self, found: Hashes) -> Result<(), Cause> {
        let (digests, chunks) = match &self.purpose {
            Purpose::Compare { digests, chunks } => (digests, chunks),
            Purpose::Record(record, path) => {
                record.put(path.clone(), found);
                return Ok(());
            }
        };
        for wanted in digests {
            let same = |one: &&Digest| one.algorithm() == wanted.algorithm();
            match found.digests.iter().find(same) {
                Some(found) if found == wanted => {}
                Some(found) => return Err(Cause::Digest(Box::new((*wanted, *found)))),
                None => return Err(Cause::NoDigest),
            }
        }
        match chunks {
            Some(wanted) if *wanted != found.chunks => Err(Cause::Chunks),
            _ => Ok(()),
        }
    }
}
