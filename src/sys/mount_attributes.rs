//! What a mount lets happen, whatever filesystem it shows.

use rustix::mount::{MountAttrFlags, MountFlags};

/// When the kernel notes that a file was read (mount(2)). Nothing of ours is ever
/// noted; it is what the table of mounts shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessTime {
    /// `relatime`.
    #[default]
    Relative,
    /// `noatime`.
    Never,
    /// `strictatime`.
    Always,
}

/// What a mount lets happen, whatever filesystem it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MountAttributes {
    /// Whether setuid bits and file capabilities count.
    pub suid: bool,
    /// Whether devices can be opened.
    pub dev: bool,
    /// Whether programs can be run.
    pub exec: bool,
    /// Whether symlinks are followed.
    pub symfollow: bool,
    /// When it is noted that a file was read.
    pub access_time: AccessTime,
    /// Whether the same is noted of directories.
    pub directory_access_time: bool,
}

impl Default for MountAttributes {
    fn default() -> Self {
        Self {
            suid: false,
            dev: false,
            exec: true,
            symfollow: true,
            access_time: AccessTime::default(),
            directory_access_time: true,
        }
    }
}

impl MountAttributes {
    /// As fsmount(2) takes them.
    pub(super) fn to_flags(self) -> MountAttrFlags {
        let mut flags = MountAttrFlags::MOUNT_ATTR_RDONLY;
        flags.set(MountAttrFlags::MOUNT_ATTR_NOSUID, !self.suid);
        flags.set(MountAttrFlags::MOUNT_ATTR_NODEV, !self.dev);
        flags.set(MountAttrFlags::MOUNT_ATTR_NOEXEC, !self.exec);
        flags.set(MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW, !self.symfollow);
        flags.set(
            MountAttrFlags::MOUNT_ATTR_NODIRATIME,
            !self.directory_access_time,
        );
        flags
            | match self.access_time {
                AccessTime::Relative => MountAttrFlags::MOUNT_ATTR_RELATIME,
                AccessTime::Never => MountAttrFlags::MOUNT_ATTR_NOATIME,
                AccessTime::Always => MountAttrFlags::MOUNT_ATTR_STRICTATIME,
            }
    }

    /// As mount(2) takes them.
    pub(super) fn to_old_flags(self) -> MountFlags {
        let mut flags = MountFlags::RDONLY;
        flags.set(MountFlags::NOSUID, !self.suid);
        flags.set(MountFlags::NODEV, !self.dev);
        flags.set(MountFlags::NOEXEC, !self.exec);
        flags.set(MountFlags::NOSYMFOLLOW, !self.symfollow);
        flags.set(MountFlags::NODIRATIME, !self.directory_access_time);
        flags
            | match self.access_time {
                AccessTime::Relative => MountFlags::RELATIME,
                AccessTime::Never => MountFlags::NOATIME,
                AccessTime::Always => MountFlags::STRICTATIME,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_let_happen_by_default() {
        let flags = MountAttributes::default().to_flags();
        let wanted = MountAttrFlags::MOUNT_ATTR_RDONLY
            | MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV;
        assert_eq!(flags, wanted);
    }

    #[test]
    fn both_calls_mean_the_same() {
        let attributes = MountAttributes {
            suid: true,
            exec: false,
            symfollow: false,
            access_time: AccessTime::Never,
            directory_access_time: false,
            ..MountAttributes::default()
        };
        let flags = attributes.to_flags();
        assert!(flags.contains(MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW));
        assert!(flags.contains(MountAttrFlags::MOUNT_ATTR_NOATIME));
        let wanted = MountFlags::RDONLY
            | MountFlags::NODEV
            | MountFlags::NOEXEC
            | MountFlags::NOSYMFOLLOW
            | MountFlags::NOATIME
            | MountFlags::NODIRATIME;
        assert_eq!(attributes.to_old_flags(), wanted);
    }
}
