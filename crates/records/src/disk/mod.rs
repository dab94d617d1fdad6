//! The disk, as small as the rest of this crate needs it.
//!
//! A seam, so that tests can let every single call fail, tear, hang or forget what was not synced. It
//! must not know what the files hold. Paths are absolute or relative to the working directory; nothing
//! here follows what a caller outside this crate says.

mod real;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

pub use real::RealDisk;

#[cfg(test)]
pub(crate) mod sim;
#[cfg(test)]
mod tests;

/// What a file system does for us.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Makes a directory and those above it, for the owner only, and makes them durable.
    ///
    /// # Errors
    /// What the system reports. A directory that is there already is no error.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// The names in a directory, sorted; none when there is no such directory.
    ///
    /// # Errors
    /// What the system reports.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// What the system reports.
    fn open(&self, path: &Path, how: How) -> io::Result<Arc<dyn DiskFile>>;

    /// The whole content of a file, or nothing when there is no such file.
    ///
    /// # Errors
    /// What the system reports; a file longer than `bytes_max` is an error too.
    fn read(&self, path: &Path, bytes_max: usize) -> io::Result<Option<Vec<u8>>>;

    /// Gives a file a new name, replacing what had it.
    ///
    /// # Errors
    /// What the system reports.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. One that is not there is no error.
    ///
    /// # Errors
    /// What the system reports.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory. One that is not there is no error.
    ///
    /// # Errors
    /// What the system reports.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// What the system reports.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes a file for this process alone, until the answer is dropped; nothing when another has it.
    ///
    /// # Errors
    /// What the system reports.
    fn lock(&self, path: &Path) -> io::Result<Option<Arc<dyn DiskFile>>>;

    /// Which file this is, so that a copy can be told from the original.
    ///
    /// # Errors
    /// What the system reports.
    fn identity(&self, path: &Path) -> io::Result<Identity>;

    /// Who may do what with a file: the nine permission bits.
    ///
    /// # Errors
    /// What the system reports.
    fn mode(&self, path: &Path) -> io::Result<u32>;
}

/// An open file.
pub trait DiskFile: fmt::Debug + Send + Sync {
    /// Reads `bytes.len()` bytes at an offset.
    ///
    /// # Errors
    /// What the system reports; the end of the file before the last byte is an error too.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all bytes at an offset.
    ///
    /// # Errors
    /// What the system reports; then any part of the bytes may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts or lengthens the file.
    ///
    /// # Errors
    /// What the system reports.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes content and length durable.
    ///
    /// # Errors
    /// What the system reports; then nothing written since the last success may be taken for durable,
    /// not even after a later success (the kernel may have dropped the pages).
    fn sync(&self) -> io::Result<()>;
}

/// How to open a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum How {
    /// There must be none yet; it is made for the owner only.
    Create,
    /// It must be there.
    Existing,
    /// Made anew, or emptied.
    Replace,
}

/// The device and number of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Identity {
    /// Number of the file system's device.
    pub device: u64,
    /// Number of the file in it.
    pub inode: u64,
}

/// A file that waits to take its name.
///
/// The dance of all files but the write-ahead segments: write beside, sync, rename, sync the directory.
/// Whoever looks sees the old content or the new one, never a part.
#[derive(Debug)]
pub(crate) struct Beside {
    to: PathBuf,
}

impl Beside {
    /// Writes and syncs the content beside the place it shall take.
    pub(crate) fn write(disk: &dyn Disk, to: &Path, bytes: &[u8]) -> io::Result<Self> {
        Self::make(disk, to, |file| file.write_at(bytes, 0))
    }

    /// Writes and syncs so many zeros.
    ///
    /// Piece by piece: what comes in one write Linux keeps in folios as large as it can, and then each small write into
    /// one goes through the state of all its blocks.
    pub(crate) fn zeros(disk: &dyn Disk, to: &Path, len: u64) -> io::Result<Self> {
        static PIECE: [u8; 64 * 1024] = [0; 64 * 1024];
        Self::make(disk, to, |file| {
            let mut at = 0;
            while at < len {
                let left = usize::try_from(len - at).unwrap_or(usize::MAX);
                let piece = PIECE.get(..left).unwrap_or(&PIECE);
                file.write_at(piece, at)?;
                at += u64::try_from(piece.len()).unwrap_or(u64::MAX);
            }
            Ok(())
        })
    }

    fn make(
        disk: &dyn Disk,
        to: &Path,
        fill: impl FnOnce(&dyn DiskFile) -> io::Result<()>,
    ) -> io::Result<Self> {
        let beside = Self { to: to.to_owned() };
        let file = disk.open(&beside.path(), How::Replace)?;
        fill(&*file)?;
        file.sync()?;
        Ok(beside)
    }

    /// Takes the name. The directory still has to be synced.
    pub(crate) fn rename(self, disk: &dyn Disk) -> io::Result<PathBuf> {
        disk.rename(&self.path(), &self.to)?;
        Ok(self.to)
    }

    /// Takes the name, durably.
    pub(crate) fn take_place(self, disk: &dyn Disk) -> io::Result<()> {
        let path = self.rename(disk)?;
        disk.sync_dir(path.parent().unwrap_or(Path::new(".")))
    }

    fn path(&self) -> PathBuf {
        let mut name = self.to.file_name().unwrap_or_default().to_owned();
        name.push(TEMPORARY);
        self.to.with_file_name(name)
    }
}

/// How the names of unfinished files end.
pub(crate) const TEMPORARY: &str = ".new";

/// Puts a whole file in place, durably. Its directory must exist.
///
/// # Errors
/// What the system reports; then the old content stands.
pub fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    Beside::write(disk, path, bytes)?.take_place(disk)
}
