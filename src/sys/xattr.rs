//! Extended attributes.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;

/// A name and a value, in bytes.
pub type Xattr = (Vec<u8>, Vec<u8>);

/// All extended attributes that we may see of an open file, in no order. None
/// where the filesystem has no attributes.
///
/// # Errors
/// As flistxattr(2) and fgetxattr(2).
pub fn of_open(file: impl AsFd) -> io::Result<Vec<Xattr>> {
    collect(
        |buffer| rustix::fs::flistxattr(&file, buffer),
        |name, buffer| rustix::fs::fgetxattr(&file, name, buffer),
    )
}

/// The same, also of a file that is held by an `O_PATH` descriptor.
///
/// # Errors
/// As listxattr(2) and getxattr(2).
pub fn of(file: impl AsFd) -> io::Result<Vec<Xattr>> {
    let path = proc_path(&file);
    let path = path.as_str();
    collect(
        |buffer| rustix::fs::listxattr(path, buffer),
        |name, buffer| rustix::fs::getxattr(path, name, buffer),
    )
}

fn collect(
    list: impl Fn(&mut [u8]) -> rustix::io::Result<usize>,
    get: impl Fn(&[u8], &mut [u8]) -> rustix::io::Result<usize>,
) -> io::Result<Vec<Xattr>> {
    let names = match with_growing_buffer(list) {
        // No attributes on this filesystem, or not on this kind of file.
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        names => names?,
    };
    let mut xattrs = Vec::new();
    for name in names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        match with_growing_buffer(|buffer| get(name, buffer)) {
            Ok(value) => xattrs.push((name.to_vec(), value)),
            // It went since it was listed.
            Err(Errno::NODATA) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(xattrs)
}

/// Calls with ever more room, up to the 64 KiB that the kernel ever gives.
fn with_growing_buffer(
    call: impl Fn(&mut [u8]) -> rustix::io::Result<usize>,
) -> rustix::io::Result<Vec<u8>> {
    // Most files have no attributes, and this takes no memory for them.
    let mut small = [0; 256];
    match call(&mut small) {
        Ok(length) => Ok(small.get(..length).unwrap_or_default().to_vec()),
        Err(Errno::RANGE) => {
            let mut large = vec![0; 1 << 16];
            let length = call(&mut large)?;
            large.truncate(length);
            Ok(large)
        }
        Err(error) => Err(error),
    }
}

/// The value of one extended attribute, of a path whose last part is not followed.
///
/// # Errors
/// As lgetxattr(2).
pub fn value(path: &std::path::Path, name: &str) -> io::Result<Vec<u8>> {
    let get = |buffer: &mut [u8]| rustix::fs::lgetxattr(path, name, buffer);
    Ok(with_growing_buffer(get)?)
}

/// Sets an extended attribute, also of a file that is held by an `O_PATH`
/// descriptor.
///
/// # Errors
/// As setxattr(2).
pub fn set(file: impl AsFd, name: &[u8], value: &[u8]) -> io::Result<()> {
    let path = proc_path(&file);
    Ok(rustix::fs::setxattr(
        &*path,
        name,
        value,
        rustix::fs::XattrFlags::empty(),
    )?)
}

/// Removes an extended attribute, also of a file that is held by an `O_PATH`
/// descriptor. One that is not there is none the worse.
///
/// # Errors
/// As removexattr(2).
pub fn remove(file: impl AsFd, name: &[u8]) -> io::Result<()> {
    match rustix::fs::removexattr(&*proc_path(&file), name) {
        Ok(()) | Err(Errno::NODATA) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Descriptors opened with `O_PATH` do not serve f*xattr(2). Links in
/// `/proc/self/fd` lead to the inode itself, even to that of a symlink, and no
/// further.
pub(super) fn proc_path(file: &impl AsFd) -> String {
    format!("/proc/self/fd/{}", file.as_fd().as_raw_fd())
}
