//! What a mount shows: a manifest, and the numbers of its inodes.

use std::fs::File;
use std::io;

use crate::digest::Digest;
use crate::sys::descriptor;

use super::message::{Before, Numbers};
use super::worker::copy;

/// How many bytes a number of an inode has.
const NUMBER: u64 = 8;

/// A manifest, and how its inodes are numbered.
#[derive(Debug)]
pub(super) struct View {
    manifest: File,
    /// What it has to be, once a worker has read it.
    digest: Option<Digest>,
    /// Where the numbers are kept that do not follow from it.
    numbers: Option<File>,
}

/// A view that is about to follow another one.
#[derive(Debug)]
pub(super) struct Next {
    manifest: File,
    numbers: File,
}

impl View {
    pub(super) const fn new(manifest: File) -> Self {
        Self {
            manifest,
            digest: None,
            numbers: None,
        }
    }

    /// One that somebody has shown before.
    pub(super) const fn resumed(manifest: File, digest: Digest, numbers: Option<File>) -> Self {
        Self {
            manifest,
            digest: Some(digest),
            numbers,
        }
    }

    /// Holds it to what the first worker has found.
    pub(super) fn found(&mut self, digest: Digest) {
        self.digest.get_or_insert(digest);
    }

    pub(super) const fn digest(&self) -> Option<Digest> {
        self.digest
    }

    pub(super) const fn manifest(&self) -> &File {
        &self.manifest
    }

    /// Where the numbers are that do not follow from the manifest.
    pub(super) const fn kept_numbers(&self) -> Option<&File> {
        self.numbers.as_ref()
    }

    /// What a worker is told that serves it. The kernel may still remember something
    /// of the view before; then this one follows it once more, which gives the same
    /// numbers again.
    pub(super) fn numbers(&self, before: Option<&Self>) -> io::Result<Numbers> {
        if let Some(before) = before {
            return Ok(Numbers::Following(before.before()?));
        }
        Ok(match &self.numbers {
            Some(numbers) => Numbers::Kept(copy(numbers)?),
            None => Numbers::Natural,
        })
    }

    /// What a worker is told that serves what follows it.
    pub(super) fn before(&self) -> io::Result<Before> {
        Ok(Before {
            pin: self.digest.ok_or(io::ErrorKind::NotFound)?,
            manifest: copy(&self.manifest)?,
            numbers: self.numbers.as_ref().map(copy).transpose()?,
        })
    }
}

impl Next {
    pub(super) fn new(manifest: File) -> io::Result<Self> {
        Ok(Self {
            manifest,
            numbers: descriptor::memory("numbers")?,
        })
    }

    pub(super) const fn manifest(&self) -> &File {
        &self.manifest
    }

    /// Where the numbers of its inodes go.
    pub(super) const fn numbers(&self) -> &File {
        &self.numbers
    }

    /// How many bytes these may be: each inode has a byte of the manifest at least.
    pub(super) fn numbers_max(&self) -> io::Result<u64> {
        let inodes = self.manifest.metadata()?.len().saturating_add(1);
        Ok(inodes.saturating_add(1).saturating_mul(NUMBER))
    }

    /// A worker has read it, and has numbered its inodes.
    pub(super) fn accept(self, digest: Digest) -> io::Result<View> {
        descriptor::seal(&self.numbers)?;
        Ok(View {
            manifest: self.manifest,
            digest: Some(digest),
            numbers: Some(self.numbers),
        })
    }
}
