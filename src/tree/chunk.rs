//! Hashing a stream of bytes chunk by chunk.

use crate::digest::{Algorithm, Hasher};
use crate::manifest::Chunks;

/// Hashes each chunk of a stream that is cut as a chunk table says.
#[derive(Debug)]
pub struct ChunkHasher<'a> {
    algorithm: Algorithm,
    chunks: &'a Chunks,
    /// Number of the chunk that is being hashed.
    index: usize,
    /// How many bytes it has had so far.
    taken: u64,
    hasher: Hasher,
    digests: Vec<u8>,
}

impl<'a> ChunkHasher<'a> {
    /// A hasher that has seen nothing yet.
    #[must_use]
    pub fn new(algorithm: Algorithm, chunks: &'a Chunks) -> Self {
        Self {
            algorithm,
            chunks,
            index: 0,
            taken: 0,
            hasher: Hasher::new(algorithm),
            digests: Vec::new(),
        }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let left = self.length().saturating_sub(self.taken);
            let room = usize::try_from(left).unwrap_or(usize::MAX);
            let (now, rest) = data.split_at_checked(room).unwrap_or((data, &[]));
            self.hasher.update(now);
            self.taken = self.taken.saturating_add(now.len() as u64);
            data = rest;
            if self.taken >= self.length() {
                self.finish_chunk();
            }
        }
    }

    /// The raw digests of all chunks, one after the other.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        if self.taken != 0 {
            self.finish_chunk();
        }
        self.digests
    }

    /// How long the current chunk is; what follows the last one is one more.
    fn length(&self) -> u64 {
        match self.chunks {
            Chunks::Fixed(size) => (*size).max(1),
            Chunks::Lengths(lengths) => lengths.get(self.index).copied().unwrap_or(u64::MAX),
        }
    }

    fn finish_chunk(&mut self) {
        let hasher = std::mem::replace(&mut self.hasher, Hasher::new(self.algorithm));
        self.digests.extend_from_slice(hasher.finish().as_raw());
        self.index += 1;
        self.taken = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_hand(parts: &[&[u8]]) -> Vec<u8> {
        parts
            .iter()
            .flat_map(|part| Algorithm::Sha256.hash(part).as_raw().to_vec())
            .collect()
    }

    #[test]
    fn cuts_wherever_the_buffers_end() {
        let data: Vec<u8> = (0..10).collect();
        let fixed = by_hand(&[&data[..4], &data[4..8], &data[8..]]);
        let listed = by_hand(&[&data[..1], &data[1..8], &data[8..]]);
        for step in 1..=10 {
            for (chunks, expected) in [
                (Chunks::Fixed(4), &fixed),
                (Chunks::Lengths(vec![1, 7, 2]), &listed),
            ] {
                let mut hasher = ChunkHasher::new(Algorithm::Sha256, &chunks);
                data.chunks(step).for_each(|part| hasher.update(part));
                assert_eq!(hasher.finish(), *expected, "{chunks:?} by {step}");
            }
        }
    }

    #[test]
    fn has_no_chunk_after_the_end() {
        let chunks = Chunks::Fixed(4);
        let mut hasher = ChunkHasher::new(Algorithm::Sha256, &chunks);
        assert_eq!(
            ChunkHasher::new(Algorithm::Sha256, &chunks).finish(),
            b"".to_vec()
        );
        hasher.update(b"12345678");
        assert_eq!(hasher.finish(), by_hand(&[b"1234", b"5678"]));
    }
}
