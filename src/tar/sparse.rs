//! Files with holes: which bytes an archive has of them.
//!
//! GNU tar has had four ways to say it (its manual, "Storing Sparse Files"): a
//! list in the header and in blocks behind it, records of an extended header
//! (0.0 and 0.1), and a list before the content (1.0).

use std::sync::Arc;

use super::pax::decimal;

/// Most parts that a file may have; a list of them takes 16 MiB.
const SEGMENTS_MAX: usize = 1 << 20;

/// Largest file with holes, in bytes: 16 TiB, the largest that ext4 can have.
/// A header of 512 bytes can say more, and every hole costs time to hash.
const SIZE_MAX: u64 = 16 << 40;

/// Bytes of a file that are in the archive; holes are between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where in the file they begin.
    pub offset: u64,
    /// How many there are.
    pub length: u64,
    /// Where in the archive they begin.
    pub position: u64,
}

/// Where in an archive the content of a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extents {
    /// Size in bytes of the file as its readers see it.
    pub size: u64,
    /// What is stored: in order, without overlaps, up to `size`.
    pub segments: Arc<[Segment]>,
}

impl Extents {
    /// A file without holes.
    pub(super) fn whole(position: u64, size: u64) -> Self {
        let whole = Segment {
            offset: 0,
            length: size,
            position,
        };
        Self {
            size,
            segments: Arc::new([whole]),
        }
    }

    /// A file of which `stored` bytes are in the archive from `position` on, in
    /// parts with these offsets and lengths; `None` when they are not in order
    /// or do not add up.
    #[must_use]
    pub fn sparse(position: u64, stored: u64, size: u64, parts: &[(u64, u64)]) -> Option<Self> {
        let mut end = 0_u64;
        let mut sum = 0_u64;
        let mut segments = Vec::with_capacity(parts.len());
        for &(offset, length) in parts {
            if offset < end {
                return None;
            }
            segments.push(Segment {
                offset,
                length,
                position: position.checked_add(sum)?,
            });
            end = offset.checked_add(length)?;
            sum = sum.checked_add(length)?;
        }
        if end > size || sum != stored || size > SIZE_MAX {
            return None;
        }
        Some(Self {
            size,
            segments: segments.into(),
        })
    }

    /// Where in the archive a byte of the file is, or that it is in a hole; and
    /// for how many bytes that holds, 0 at the end of the file.
    #[must_use]
    pub fn locate(&self, offset: u64) -> (Option<u64>, u64) {
        let end = |segment: &Segment| segment.offset + segment.length;
        let index = self.segments.partition_point(|one| end(one) <= offset);
        match self.segments.get(index) {
            Some(segment) if segment.offset <= offset => {
                let within = offset - segment.offset;
                (Some(segment.position + within), segment.length - within)
            }
            Some(segment) => (None, segment.offset - offset),
            None => (None, self.size.saturating_sub(offset)),
        }
    }
}

/// Collects the numbers of a list, of which two make a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Map {
    /// Offset and length of each.
    pub segments: Vec<(u64, u64)>,
    offset: Option<u64>,
}

impl Map {
    /// `None` when there are too many, or the number is none.
    pub fn push(&mut self, number: Option<u64>) -> Option<()> {
        let number = number?;
        match self.offset.take() {
            None => self.offset = Some(number),
            Some(_) if self.segments.len() == SEGMENTS_MAX => return None,
            Some(offset) => self.segments.push((offset, number)),
        }
        Some(())
    }

    /// Whether an offset waits for its length.
    pub const fn is_open(&self) -> bool {
        self.offset.is_some()
    }

    /// The list of form 0.1: `offset,length,offset,length`.
    pub fn parse_list(list: &[u8]) -> Option<Self> {
        let mut map = Self::default();
        if !list.is_empty() {
            for number in list.split(|byte| *byte == b',') {
                map.push(decimal(number))?;
            }
        }
        (!map.is_open()).then_some(map)
    }
}

/// Reads the list of form 1.0, which stands before the content: how many there
/// are, then offset and length of each, every number on a line.
#[derive(Debug, Default)]
pub(super) struct ListReader {
    count: Option<u64>,
    map: Map,
    digits: Vec<u8>,
}

impl ListReader {
    /// Takes one more block; `Some` map when the list has ended.
    ///
    /// # Errors
    /// When it is no list, or too long.
    pub fn take(&mut self, block: &[u8]) -> Result<Option<Map>, ()> {
        for byte in block {
            if *byte != b'\n' {
                // As many as the largest number has.
                if self.digits.len() == 20 {
                    return Err(());
                }
                self.digits.push(*byte);
                continue;
            }
            let number = decimal(&self.digits).ok_or(())?;
            self.digits.clear();
            if self.count.is_none() {
                self.count = Some(number);
            } else {
                self.map.push(Some(number)).ok_or(())?;
            }
            if self.count == Some(self.map.segments.len() as u64) && !self.map.is_open() {
                return Ok(Some(std::mem::take(&mut self.map)));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(offset: u64, length: u64) -> (u64, u64) {
        (offset, length)
    }

    #[test]
    fn a_map_must_add_up() {
        let sparse = |stored, size, segments: &[(u64, u64)]| {
            Extents::sparse(0, stored, size, segments).is_some()
        };
        assert!(sparse(0, 0, &[]));
        assert!(sparse(0, 10, &[segment(10, 0)]));
        assert!(sparse(3, 10, &[segment(1, 1), segment(2, 2)]));
        assert!(sparse(0, SIZE_MAX, &[]));
        for (stored, size, segments) in [
            (1, 10, &[][..]),
            (2, 10, &[segment(5, 1), segment(5, 1)]),
            (2, 10, &[segment(5, 1), segment(4, 1)]),
            (2, 10, &[segment(9, 2)]),
            (0, 10, &[segment(11, 0)]),
            (0, SIZE_MAX + 1, &[]),
            (0, 10, &[segment(1, u64::MAX)]),
            (1, 10, &[segment(1, u64::MAX), segment(0, 2)]),
        ] {
            assert!(!sparse(stored, size, segments), "{segments:?}");
        }
    }

    #[test]
    fn lists_come_with_commas_or_lines() {
        let wanted = [segment(0, 512), segment(1024, 0)];
        assert_eq!(Map::parse_list(b"0,512,1024,0").unwrap().segments, wanted);
        assert_eq!(Map::parse_list(b"").unwrap().segments, []);
        for bad in [&b"0"[..], b"0,", b"0,1,", b"a,1", b"-1,1", b"0,1,2"] {
            assert!(Map::parse_list(bad).is_none(), "{bad:?}");
        }

        let mut reader = ListReader::default();
        assert_eq!(reader.take(b"2\n0\n51"), Ok(None));
        let map = reader.take(b"2\n1024\n0\n\0\0\0").unwrap().unwrap();
        assert_eq!(map.segments, wanted);
        let empty = ListReader::default().take(b"0\n\0").unwrap().unwrap();
        assert_eq!(empty.segments, []);
        for bad in [&b"\n"[..], b"x\n", b"1\n-1\n", &[b'0'; 21]] {
            assert!(ListReader::default().take(bad).is_err(), "{bad:?}");
        }
    }
}
