//! Reads an archive, one member after the other, each in bounded memory.

use std::io::{self, Read};

use super::acl::Owners;
use super::entry::{self, Entry, EntryKind, TypeFlag};
use super::error::{Fault, TarError};
use super::extended::Extended;
use super::header::{BLOCK_SIZE, Block, Header, field, number, until_nul};
use super::input::Input;
use super::sparse::{Extents, ListReader, Map};

/// Longest extended header, in bytes: 16 MiB, more than a filesystem can have
/// of attributes.
const EXTENDED_MAX: u64 = 16 << 20;

/// Most bytes of extended headers that hold for all members: each has a copy.
const GLOBAL_MAX: u64 = 64 << 10;

/// Most blocks of a list of holes; they take as much.
const SPARSE_BLOCKS_MAX: u64 = EXTENDED_MAX / BLOCK_SIZE as u64;

/// Reads an archive from its beginning to its end.
///
/// It reads ustar, pax, GNU tar's forms, star's and those before POSIX. What
/// readers are known to take differently is refused: content of something that
/// has none, two extended headers for one member, an archive without an end
/// mark, anything but zeros behind it.
#[derive(Debug)]
pub struct Reader<I> {
    input: I,
    /// How many bytes were read or left out.
    position: u64,
    /// Stored bytes of the current member that were not read, and the padding
    /// behind them.
    unread: u64,
    padding: u64,
    /// What holds for all members that follow, and how many bytes said it.
    global: Extended,
    global_bytes: u64,
    /// Whom ACLs name; `None` where ACLs are left out.
    owners: Option<Owners>,
    body: Body,
}

/// The content of the current member as its readers see it, and how far it was
/// read.
#[derive(Debug, Default)]
struct Body {
    extents: Option<Extents>,
    place: u64,
}

/// What stands before the header of a member and belongs to it.
#[derive(Debug, Default)]
struct Before {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    extended: Option<Extended>,
}

impl Before {
    const fn is_empty(&self) -> bool {
        self.name.is_none() && self.link.is_none() && self.extended.is_none()
    }
}

impl<I: Input> Reader<I> {
    /// Reads what `input` has; `owners` are those whom ACLs name. Without them,
    /// ACLs are left out.
    pub fn new(input: I, owners: Option<Owners>) -> Self {
        Self {
            input,
            position: 0,
            unread: 0,
            padding: 0,
            global: Extended::default(),
            global_bytes: 0,
            owners,
            body: Body::default(),
        }
    }

    /// The next member; `None` at the end of the archive, which was then read
    /// to its last byte.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        self.leave_out_rest()?;
        let mut before = Before::default();
        loop {
            let at = self.position;
            let place = |fault| TarError::new(at, fault);
            let Some(block) = self.header_block()? else {
                return match before.is_empty() {
                    true => Ok(None),
                    false => Err(place(Fault::Truncated)),
                };
            };
            let header = Header::parse(&block).ok_or_else(|| place(Fault::Checksum))?;
            match header.type_flag() {
                b'x' | b'X' => {
                    let mut extended = self.global.clone();
                    extended.take(&self.long(&header)?).map_err(place)?;
                    if before.extended.replace(extended).is_some() {
                        return Err(place(Fault::Twice));
                    }
                }
                b'g' => {
                    let records = self.long(&header)?;
                    self.global_bytes += records.len() as u64;
                    if self.global_bytes > GLOBAL_MAX {
                        let (found, limit) = (self.global_bytes, GLOBAL_MAX);
                        return Err(place(Fault::Long { found, limit }));
                    }
                    self.global.take(&records).map_err(place)?;
                }
                b'L' | b'K' => {
                    let text = until_nul(&self.long(&header)?).to_vec();
                    let long = match header.type_flag() {
                        b'L' => &mut before.name,
                        _ => &mut before.link,
                    };
                    if long.replace(text).is_some() {
                        return Err(place(Fault::Twice));
                    }
                }
                // A label of the whole archive.
                b'V' => self.begin_stored(self.stored(&header)?),
                _ => return self.entry(at, &header, before).map(Some),
            }
            self.leave_out_rest()?;
        }
    }

    /// Reads on in the content of the member that came last, holes filled with
    /// zeros; 0 bytes at its end, and for what has no content.
    ///
    /// # Errors
    /// As for reading; `UnexpectedEof` when the archive is cut off.
    pub fn read_content(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(extents) = &self.body.extents else {
            return Ok(0);
        };
        let (stored, length) = extents.locate(self.body.place);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let length = length.min(buffer.len());
        let part = buffer.get_mut(..length).unwrap_or_default();
        let count = if stored.is_some() {
            let count = read_some(&mut self.input, part)?;
            self.position += count as u64;
            self.unread -= count as u64;
            count
        } else {
            part.fill(0);
            length
        };
        self.body.place += count as u64;
        Ok(count)
    }

    /// The block where a header should be; `None` at the end.
    fn header_block(&mut self) -> Result<Option<Block>, TarError> {
        let at = self.position;
        let place = |error| TarError::new(at, Fault::of_read(error));
        let mut block = [0; BLOCK_SIZE];
        match read_some(&mut self.input, &mut block[..1]) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(TarError::new(at, Fault::NoEnd));
            }
            Err(error) => return Err(place(error)),
        }
        self.input.read_exact(&mut block[1..]).map_err(place)?;
        self.position += BLOCK_SIZE as u64;
        if block.iter().any(|byte| *byte != 0) {
            return Ok(Some(block));
        }
        self.end()?;
        Ok(None)
    }

    /// Reads on to the last byte: what checks a compressed archive stands there.
    fn end(&mut self) -> Result<(), TarError> {
        let mut buffer = [0; 4096];
        loop {
            match self.input.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) if buffer.iter().take(count).all(|byte| *byte == 0) => {
                    self.position += count as u64;
                }
                Ok(_) => return Err(TarError::new(self.position, Fault::Trailing)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(TarError::new(self.position, Fault::of_read(error))),
            }
        }
    }

    /// The content of what extends the header that follows.
    fn long(&mut self, header: &Header<'_>) -> Result<Vec<u8>, TarError> {
        let at = self.position - BLOCK_SIZE as u64;
        let size = self.stored(header)?;
        if size > EXTENDED_MAX {
            let limit = EXTENDED_MAX;
            return Err(TarError::new(at, Fault::Long { found: size, limit }));
        }
        let mut bytes = Vec::new();
        let read = (&mut self.input).take(size).read_to_end(&mut bytes);
        self.position += bytes.len() as u64;
        match read {
            Err(error) => Err(TarError::new(at, Fault::of_read(error))),
            Ok(count) if (count as u64) < size => Err(TarError::new(at, Fault::Truncated)),
            Ok(_) => {
                self.begin_stored(size);
                self.unread = 0;
                Ok(bytes)
            }
        }
    }

    /// The size that a header says.
    fn stored(&self, header: &Header<'_>) -> Result<u64, TarError> {
        let size = header.number(field::SIZE);
        size.and_then(|size| u64::try_from(size).ok())
            .ok_or_else(|| {
                let at = self.position - BLOCK_SIZE as u64;
                TarError::new(at, Fault::Number("size"))
            })
    }

    fn begin_stored(&mut self, size: u64) {
        self.unread = size;
        self.padding = size.wrapping_neg() % BLOCK_SIZE as u64;
        self.body = Body::default();
    }

    fn leave_out_rest(&mut self) -> Result<(), TarError> {
        let rest = self.unread.saturating_add(self.padding);
        self.unread = 0;
        self.padding = 0;
        self.body = Body::default();
        let at = self.position;
        self.position = self.position.saturating_add(rest);
        match rest {
            0 => Ok(()),
            rest => self
                .input
                .skip(rest)
                .map_err(|error| TarError::new(at, Fault::of_read(error))),
        }
    }

    fn entry(&mut self, at: u64, header: &Header<'_>, before: Before) -> Result<Entry, TarError> {
        let mut extended = before.extended.unwrap_or_else(|| self.global.clone());
        let name = extended
            .sparse
            .name
            .take()
            .or(extended.path.take())
            .or(before.name)
            .unwrap_or_else(|| header.name());
        let place = |fault| TarError::of(at, &name, fault);
        let type_flag =
            TypeFlag::of(header, &name).ok_or_else(|| place(Fault::Type(header.type_flag())))?;
        let file_type = type_flag.file_type();
        let stored = match extended.size {
            Some(size) => size,
            None => self.stored(header)?,
        };
        // An i64 in every reader, and in a manifest.
        if i64::try_from(stored).is_err() {
            return Err(place(Fault::Number("size")));
        }
        let has_content = matches!(type_flag, TypeFlag::Regular | TypeFlag::GnuSparse);
        if stored != 0 && !has_content {
            return Err(place(Fault::Content(file_type)));
        }
        let metadata = entry::metadata(header, &mut extended, self.owners.as_ref(), file_type)
            .map_err(place)?;
        let mut kind = entry::kind(header, &mut extended, type_flag, before.link).map_err(place)?;
        if has_content {
            let extents = self.extents(header, extended, type_flag, stored);
            let extents = extents.map_err(place)?;
            self.body.extents = Some(extents.clone());
            kind = EntryKind::Regular(extents);
        }
        Ok(Entry {
            at,
            name: name.into_boxed_slice(),
            metadata,
            kind,
        })
    }

    /// Where the content is; the list of its holes was read then.
    fn extents(
        &mut self,
        header: &Header<'_>,
        extended: Extended,
        type_flag: TypeFlag,
        stored: u64,
    ) -> Result<Extents, Fault> {
        let sparse = extended.sparse;
        let (map, size) = match (type_flag, sparse.version, sparse.map) {
            (TypeFlag::GnuSparse, _, _) => self.gnu_map(header)?,
            (_, Some((1, 0)), None) => {
                self.begin_stored(stored);
                (self.list()?, sparse.size.ok_or(Fault::Sparse)?)
            }
            (_, None | Some((0, _)), Some(map)) => (map, sparse.size.ok_or(Fault::Sparse)?),
            (_, None, None) if sparse.size.is_none() => {
                self.begin_stored(stored);
                return Ok(Extents::whole(self.position, stored));
            }
            _ => return Err(Fault::Sparse),
        };
        if map.is_open() {
            return Err(Fault::Sparse);
        }
        if !matches!(sparse.version, Some((1, 0))) {
            self.begin_stored(stored);
        }
        Extents::sparse(self.position, self.unread, size, &map.segments).ok_or(Fault::Sparse)
    }

    /// The list of form 1.0, which is the beginning of what is stored.
    fn list(&mut self) -> Result<Map, Fault> {
        let mut list = ListReader::default();
        for _ in 0..SPARSE_BLOCKS_MAX {
            let block = self.block()?;
            self.unread = self
                .unread
                .checked_sub(BLOCK_SIZE as u64)
                .ok_or(Fault::Sparse)?;
            if let Some(map) = list.take(&block).map_err(|()| Fault::Sparse)? {
                return Ok(map);
            }
        }
        Err(Fault::Sparse)
    }

    /// The list of GNU tar's older form, in the header and in blocks behind it,
    /// and the size.
    fn gnu_map(&mut self, header: &Header<'_>) -> Result<(Map, u64), Fault> {
        let size = header
            .number(field::GNU_REAL_SIZE)
            .and_then(|size| u64::try_from(size).ok())
            .ok_or(Fault::Number("size"))?;
        let mut map = Map::default();
        take_gnu(&mut map, header.bytes(field::GNU_SPARSE))?;
        let mut more = header.byte(field::GNU_IS_EXTENDED) != 0;
        while more {
            let block = self.block()?;
            take_gnu(&mut map, block.get(..GNU_EXTENDED).unwrap_or_default())?;
            more = block.get(GNU_EXTENDED).is_some_and(|byte| *byte != 0);
        }
        Ok((map, size))
    }

    fn block(&mut self) -> Result<Block, Fault> {
        let mut block = [0; BLOCK_SIZE];
        self.input.read_exact(&mut block).map_err(Fault::of_read)?;
        self.position += BLOCK_SIZE as u64;
        Ok(block)
    }
}

/// Where in a block of GNU tar's list stands whether there is another.
const GNU_EXTENDED: usize = 504;

/// Pairs of 12-byte numbers; an empty one ends the list.
fn take_gnu(map: &mut Map, numbers: &[u8]) -> Result<(), Fault> {
    for pair in numbers.chunks_exact(24) {
        if pair.first() == Some(&0) {
            break;
        }
        for field in pair.chunks_exact(12) {
            let value = number(field).and_then(|value| u64::try_from(value).ok());
            map.push(value).ok_or(Fault::Sparse)?;
        }
    }
    Ok(())
}

/// At least one byte.
fn read_some(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    if buffer.is_empty() {
        return Ok(0);
    }
    loop {
        match input.read(buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
