//! File modes: Go's `os.FileMode`, which the manifest holds, and stat(2)'s.

use std::fmt;

use thiserror::Error;

/// Bits of Go's `os.FileMode`, from <https://pkg.go.dev/io/fs#FileMode>.
mod bits {
    pub const DIRECTORY: u32 = 1 << 31;
    pub const APPEND: u32 = 1 << 30;
    pub const EXCLUSIVE: u32 = 1 << 29;
    pub const TEMPORARY: u32 = 1 << 28;
    pub const SYMLINK: u32 = 1 << 27;
    pub const DEVICE: u32 = 1 << 26;
    pub const FIFO: u32 = 1 << 25;
    pub const SOCKET: u32 = 1 << 24;
    pub const SETUID: u32 = 1 << 23;
    pub const SETGID: u32 = 1 << 22;
    pub const CHARACTER: u32 = 1 << 21;
    pub const STICKY: u32 = 1 << 20;
    pub const IRREGULAR: u32 = 1 << 19;
    pub const PERMISSIONS: u32 = 0o777;

    pub const TYPES: u32 = DIRECTORY | SYMLINK | DEVICE | FIFO | SOCKET | CHARACTER | IRREGULAR;
    pub const MEANINGLESS: u32 =
        !(TYPES | APPEND | EXCLUSIVE | TEMPORARY | SETUID | SETGID | STICKY | PERMISSIONS);
}

/// File types of stat(2), from inode(7).
const S_IFMT: u32 = 0o170_000;
const S_IFIFO: u32 = 0o010_000;
const S_IFCHR: u32 = 0o020_000;
const S_IFDIR: u32 = 0o040_000;
const S_IFBLK: u32 = 0o060_000;
const S_IFREG: u32 = 0o100_000;
const S_IFLNK: u32 = 0o120_000;
const S_IFSOCK: u32 = 0o140_000;
const S_ISUID: u32 = 0o4000;
const S_ISGID: u32 = 0o2000;
const S_ISVTX: u32 = 0o1000;

/// The seven kinds of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileType {
    /// Regular file.
    Regular,
    /// Directory.
    Directory,
    /// Symbolic link.
    Symlink,
    /// Named pipe.
    Fifo,
    /// Character device.
    CharDevice,
    /// Block device.
    BlockDevice,
    /// Unix domain socket.
    Socket,
}

impl FileType {
    const fn go_bits(self) -> u32 {
        match self {
            Self::Regular => 0,
            Self::Directory => bits::DIRECTORY,
            Self::Symlink => bits::SYMLINK,
            Self::Fifo => bits::FIFO,
            Self::CharDevice => bits::DEVICE | bits::CHARACTER,
            Self::BlockDevice => bits::DEVICE,
            Self::Socket => bits::SOCKET,
        }
    }

    const fn stat_bits(self) -> u32 {
        match self {
            Self::Regular => S_IFREG,
            Self::Directory => S_IFDIR,
            Self::Symlink => S_IFLNK,
            Self::Fifo => S_IFIFO,
            Self::CharDevice => S_IFCHR,
            Self::BlockDevice => S_IFBLK,
            Self::Socket => S_IFSOCK,
        }
    }
}

impl FileType {
    /// One word for it, where a program reads.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Regular => "file",
            Self::Directory => "directory",
            Self::Symlink => "symlink",
            Self::Fifo => "fifo",
            Self::CharDevice => "char-device",
            Self::BlockDevice => "block-device",
            Self::Socket => "socket",
        }
    }
}

impl fmt::Display for FileType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Regular => "regular file",
            Self::Directory => "directory",
            Self::Symlink => "symlink",
            Self::Fifo => "fifo",
            Self::CharDevice => "character device",
            Self::BlockDevice => "block device",
            Self::Socket => "socket",
        })
    }
}

/// A mode that names exactly one kind of file.
///
/// Go's append, exclusive and temporary bits are kept, so that a manifest
/// comes back as it was, but mean nothing here.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileMode(u32);

/// Why a number is no file mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ModeError {
    /// No single kind of file has these type bits.
    #[error("mode {0:#010x} names no kind of file, or two")]
    Type(u32),
    /// Bits 9 to 18, such as those of a stat(2) mode.
    #[error("mode {0:#010x} has bits that Go's FileMode has no meaning for")]
    Meaningless(u32),
}

impl FileMode {
    /// The mode of a directory that nothing describes: `drwxr-xr-x`.
    pub const DEFAULT_DIRECTORY: Self = Self(bits::DIRECTORY | 0o755);

    /// Takes the bits of Go's `os.FileMode`.
    ///
    /// # Errors
    /// Type bits that are not those of exactly one [`FileType`], and bits
    /// without a meaning.
    pub const fn from_go(mode: u32) -> Result<Self, ModeError> {
        if mode & bits::MEANINGLESS != 0 {
            return Err(ModeError::Meaningless(mode));
        }
        match file_type(mode) {
            Some(_) => Ok(Self(mode)),
            None => Err(ModeError::Type(mode)),
        }
    }

    /// Takes `st_mode` of stat(2); `None` for a type that inode(7) does not know.
    #[must_use]
    pub const fn from_stat(st_mode: u32) -> Option<Self> {
        let file_type = match st_mode & S_IFMT {
            S_IFREG => FileType::Regular,
            S_IFDIR => FileType::Directory,
            S_IFLNK => FileType::Symlink,
            S_IFIFO => FileType::Fifo,
            S_IFCHR => FileType::CharDevice,
            S_IFBLK => FileType::BlockDevice,
            S_IFSOCK => FileType::Socket,
            _ => return None,
        };
        Some(Self::new(file_type, st_mode))
    }

    /// A kind of file with the twelve permission bits of chmod(2); others are
    /// left out.
    #[must_use]
    pub const fn new(file_type: FileType, permissions: u32) -> Self {
        let mut mode = file_type.go_bits() | (permissions & bits::PERMISSIONS);
        if permissions & S_ISUID != 0 {
            mode |= bits::SETUID;
        }
        if permissions & S_ISGID != 0 {
            mode |= bits::SETGID;
        }
        if permissions & S_ISVTX != 0 {
            mode |= bits::STICKY;
        }
        Self(mode)
    }

    /// The bits of Go's `os.FileMode`.
    #[must_use]
    pub const fn to_go(self) -> u32 {
        self.0
    }

    /// `st_mode` of stat(2).
    #[must_use]
    pub const fn to_stat(self) -> u32 {
        self.file_type().stat_bits() | self.permissions()
    }

    /// The twelve permission bits, as chmod(2) takes them.
    #[must_use]
    pub const fn permissions(self) -> u32 {
        let mut permissions = self.0 & bits::PERMISSIONS;
        if self.0 & bits::SETUID != 0 {
            permissions |= S_ISUID;
        }
        if self.0 & bits::SETGID != 0 {
            permissions |= S_ISGID;
        }
        if self.0 & bits::STICKY != 0 {
            permissions |= S_ISVTX;
        }
        permissions
    }

    /// The kind of file.
    #[must_use]
    pub const fn file_type(self) -> FileType {
        match file_type(self.0) {
            Some(file_type) => file_type,
            // No constructor lets another in.
            None => FileType::Regular,
        }
    }
}

const fn file_type(mode: u32) -> Option<FileType> {
    Some(match mode & bits::TYPES {
        0 => FileType::Regular,
        bits::DIRECTORY => FileType::Directory,
        bits::SYMLINK => FileType::Symlink,
        bits::FIFO => FileType::Fifo,
        bits::SOCKET => FileType::Socket,
        bits::DEVICE => FileType::BlockDevice,
        mode if mode == bits::DEVICE | bits::CHARACTER => FileType::CharDevice,
        _ => return None,
    })
}

/// As Go prints it: `drwxr-xr-x`, `Dcrw-rw-rw-`, `urwxr-xr-x`.
impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        GoMode(self.0).fmt(f)
    }
}

impl fmt::Debug for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileMode({self})")
    }
}

/// Any 32 bits, printed as Go's `FileMode.String` prints them.
#[derive(Clone, Copy, Debug)]
pub struct GoMode(pub u32);

impl GoMode {
    /// Whether Go takes it for a regular file: no type bit is set.
    #[must_use]
    pub const fn is_regular(self) -> bool {
        self.0 & bits::TYPES == 0
    }

    /// Whether the directory bit is set.
    #[must_use]
    pub const fn is_directory(self) -> bool {
        self.0 & bits::DIRECTORY != 0
    }

    /// Whether the symlink bit is set.
    #[must_use]
    pub const fn is_symlink(self) -> bool {
        self.0 & bits::SYMLINK != 0
    }
}

impl fmt::Display for GoMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        let mut any = false;
        for (letter, bit) in "dalTLDpSugct?".chars().zip((0..32).rev()) {
            if self.0 & (1 << bit) != 0 {
                f.write_char(letter)?;
                any = true;
            }
        }
        if !any {
            f.write_char('-')?;
        }
        for (letter, bit) in "rwxrwxrwx".chars().zip((0..9).rev()) {
            f.write_char(if self.0 & (1 << bit) != 0 {
                letter
            } else {
                '-'
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_go_does() {
        for (stat, go) in [
            (0o100_644, "-rw-r--r--"),
            (0o104_755, "urwxr-xr-x"),
            (0o102_755, "grwxr-xr-x"),
            (0o041_777, "dtrwxrwxrwx"),
            (0o120_777, "Lrwxrwxrwx"),
            (0o020_666, "Dcrw-rw-rw-"),
            (0o060_660, "Drw-rw----"),
            (0o010_600, "prw-------"),
            (0o140_755, "Srwxr-xr-x"),
        ] {
            assert_eq!(FileMode::from_stat(stat).unwrap().to_string(), go);
        }
    }

    #[test]
    fn every_stat_mode_comes_back() {
        for file_type in [
            S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO, S_IFCHR, S_IFBLK, S_IFSOCK,
        ] {
            for permissions in 0..=0o7777 {
                let stat = file_type | permissions;
                let mode = FileMode::from_stat(stat).unwrap();
                assert_eq!(mode.to_stat(), stat);
                assert_eq!(FileMode::from_go(mode.to_go()), Ok(mode));
            }
        }
        assert_eq!(FileMode::from_stat(0o644), None);
    }

    #[test]
    fn a_mode_names_one_kind_of_file() {
        for bad in [
            bits::DIRECTORY | bits::SYMLINK,
            bits::CHARACTER,
            bits::IRREGULAR,
            bits::SOCKET | bits::FIFO,
            0o100_644,
            1 << 18,
        ] {
            assert!(FileMode::from_go(bad).is_err(), "{bad:#x}");
        }
        assert_eq!(
            FileMode::from_go(2_147_484_141).unwrap().to_stat(),
            0o040_755
        );
        let plan9 = FileMode::from_go(bits::APPEND | bits::EXCLUSIVE | bits::TEMPORARY | 0o644);
        assert_eq!(plan9.unwrap().to_stat(), 0o100_644);
    }
}
