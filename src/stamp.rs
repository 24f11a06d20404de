//! By what a change of a file shows, whichever way it comes: written over, renamed into place, or behind a link that
//! leads elsewhere now, as Kubernetes does it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// One state of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    written: (i64, i64),
    /// Of its content or its rights. Unlike the other it cannot be set.
    changed: (i64, i64),
}

impl Stamp {
    /// That of the file at `path`, links followed.
    ///
    /// # Errors
    /// It is not there, or not for us.
    pub fn of(path: impl AsRef<Path>) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            written: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}
