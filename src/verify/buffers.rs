//! Buffers that are used again.
//!
//! Blocks are taken on one thread and given back on another, some time later:
//! from that an allocator keeps a heap for each thread, and twice and three
//! times the memory that is in use.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

/// Smaller ones are left to the allocator.
const SIZE_MIN: usize = 64 << 10;

/// A bounded stock of buffers.
#[derive(Debug)]
pub(super) struct Buffers(Arc<Stock>);

#[derive(Debug)]
struct Stock {
    spare: Mutex<Vec<Vec<u8>>>,
    /// How many bytes may lie here unused.
    capacity: usize,
}

impl Buffers {
    /// A stock that keeps at most `capacity` bytes for later.
    pub(super) fn new(capacity: usize) -> Self {
        Self(Arc::new(Stock {
            spare: Mutex::default(),
            capacity,
        }))
    }

    /// A buffer of `length` bytes; what is in them is of no meaning.
    pub(super) fn take(&self, length: usize) -> Buffer {
        let mut bytes = self.0.spare(length).unwrap_or_default();
        bytes.resize(length, 0);
        Buffer {
            bytes,
            stock: Arc::clone(&self.0),
        }
    }
}

impl Stock {
    /// One that is large enough, and not much too large.
    fn spare(&self, length: usize) -> Option<Vec<u8>> {
        if length < SIZE_MIN {
            return None;
        }
        let mut spare = self.spare.lock();
        let fits =
            |buffer: &Vec<u8>| buffer.capacity() >= length && buffer.capacity() / 2 <= length;
        let place = spare.iter().rposition(fits)?;
        Some(spare.swap_remove(place))
    }

    fn give_back(&self, buffer: Vec<u8>) {
        if buffer.capacity() < SIZE_MIN {
            return;
        }
        let mut spare = self.spare.lock();
        let kept: usize = spare.iter().map(Vec::capacity).sum();
        if kept.saturating_add(buffer.capacity()) <= self.capacity {
            spare.push(buffer);
        }
    }
}

/// A buffer that goes back to its stock when the last who has a part of it
/// drops it.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    stock: Arc<Stock>,
}

impl Buffer {
    pub(super) fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    pub(super) fn truncate(&mut self, length: usize) {
        self.bytes.truncate(length);
    }

    /// The bytes, which nobody changes any more.
    pub(super) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl std::ops::Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.stock.give_back(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_nobody_has_it() {
        let buffers = Buffers::new(4 * SIZE_MIN);
        let mut buffer = buffers.take(SIZE_MIN + 1);
        buffer.as_mut_slice().fill(7);
        buffer.truncate(SIZE_MIN);
        let place = buffer.as_ptr();
        let bytes = buffer.freeze();
        let part = bytes.slice(3..5);
        drop(bytes);
        assert!(buffers.0.spare.lock().is_empty());
        assert_eq!(part, &[7, 7][..]);
        drop(part);
        assert!(buffers.take(4 * SIZE_MIN).as_ptr() != place);
        let again = buffers.take(SIZE_MIN + 1);
        assert_eq!((again.as_ptr(), again.len()), (place, SIZE_MIN + 1));
    }

    #[test]
    fn no_more_is_kept_than_may_be() {
        let buffers = Buffers::new(4 * SIZE_MIN);
        let many: Vec<Buffer> = (0..10).map(|_| buffers.take(SIZE_MIN)).collect();
        drop(many);
        assert_eq!(buffers.0.spare.lock().len(), 4);
        drop(buffers.take(10));
        assert_eq!(buffers.0.spare.lock().len(), 4);
    }
}
