//! Mounting without privileges, through fusermount3(1), which is setuid root.
//! It is found by its absolute path, gets no environment, and is never run by
//! root.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::datagram;
use super::mount::{AccessTime, FuseMountOptions};

const PROGRAMS: [&str; 2] = ["/usr/bin/fusermount3", "/bin/fusermount3"];

/// Mounts at `mountpoint`, at once visible, and gives the device.
///
/// # Errors
/// When fusermount3 is not installed, or does not want to; it says why on
/// standard error.
pub fn mount(mountpoint: &Path, options: &FuseMountOptions<'_>) -> io::Result<OwnedFd> {
    let options = option_string(options)?;
    let (ours, theirs) = rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let mut child = command()?
        .arg("-o")
        .arg(options)
        .arg("--")
        .arg(mountpoint)
        // It sends the device there; 0 is its standard input.
        .env("_FUSE_COMMFD", "0")
        .stdin(Stdio::from(theirs))
        .spawn()?;
    let message = datagram::receive(&ours, 1);
    let status = child.wait()?;
    let device = message?.and_then(|(_, descriptors)| descriptors.into_iter().next());
    match device {
        Some(device) if status.success() => Ok(device),
        _ => Err(io::Error::other(format!("fusermount3 failed ({status})"))),
    }
}

/// Unmounts, whoever is still using it.
///
/// # Errors
/// When fusermount3 does not want to; it says why on standard error.
pub fn unmount(mountpoint: &Path) -> io::Result<()> {
    let status = command()?
        .args(["-u", "-z", "--"])
        .arg(mountpoint)
        .status()?;
    if !status.success() {
        return Err(io::Error::other(format!("fusermount3 failed ({status})")));
    }
    Ok(())
}

/// Unmounts; unless it is `lazy`, only what nobody uses.
///
/// # Errors
/// When fusermount3 does not want to, with what it says.
pub fn end(mountpoint: &Path, lazy: bool) -> io::Result<()> {
    let mut command = command()?;
    command.arg("-u");
    if lazy {
        command.arg("-z");
    }
    let output = command.arg("--").arg(mountpoint).output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(said.trim_end().to_owned()));
    }
    Ok(())
}

fn command() -> io::Result<Command> {
    let program = PROGRAMS
        .into_iter()
        .find(|program| Path::new(program).exists())
        .ok_or_else(|| {
            io::Error::other("fusermount3 is not installed (Debian's package fuse3 has it)")
        })?;
    let mut command = Command::new(program);
    command.env_clear().stdin(Stdio::null());
    Ok(command)
}

/// It knows few options, and passes on to the kernel what it does not know. When
/// something is noted to be read makes no difference here, so that may be lost;
/// what makes one is refused.
fn option_string(options: &FuseMountOptions<'_>) -> io::Result<OsString> {
    let attributes = options.attributes;
    if !attributes.symfollow {
        return Err(io::Error::other(
            "fusermount3 does not know nosymfollow; only root can have that",
        ));
    }
    let mut string = b"ro,default_permissions,subtype=".to_vec();
    string.extend_from_slice(options.subtype.as_bytes());
    for (wanted, option) in [
        (!attributes.suid, &b",nosuid"[..]),
        (!attributes.dev, b",nodev"),
        (!attributes.exec, b",noexec"),
        (attributes.access_time == AccessTime::Never, b",noatime"),
        (options.allow_other, b",allow_other"),
    ] {
        if wanted {
            string.extend_from_slice(option);
        }
    }
    if let Some(max_read) = options.max_read {
        string.extend_from_slice(format!(",max_read={max_read}").as_bytes());
    }
    for (name, value) in options.labels {
        string.extend_from_slice(format!(",{name}=").as_bytes());
        string.extend_from_slice(&escape(value));
    }
    string.extend_from_slice(b",fsname=");
    string.extend_from_slice(&escape(options.source));
    Ok(OsString::from_vec(string))
}

/// fusermount3 takes a backslash as the escape of a comma and of itself.
fn escape(name: &OsStr) -> Vec<u8> {
    let mut escaped = Vec::new();
    for byte in name.as_bytes() {
        if matches!(byte, b',' | b'\\') {
            escaped.push(b'\\');
        }
        escaped.push(*byte);
    }
    escaped
}
