//! The real disk: whose files, and whose alone.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::*;

fn fresh_dir(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("records-{}-{name}", std::process::id()));
    RealDisk.create_dir(&dir).unwrap();
    dir
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn files_and_directories_are_for_the_owner_alone() {
    let dir = fresh_dir("modes");
    let below = dir.join("a/b");
    RealDisk.create_dir(&below).unwrap();
    RealDisk.create_dir(&below).unwrap();
    replace(&RealDisk, &below.join("file"), b"content").unwrap();
    drop(RealDisk.lock(&below.join("lock")).unwrap());
    assert_eq!([mode(&dir.join("a")), mode(&below)], [0o700, 0o700]);
    assert_eq!(
        [mode(&below.join("file")), mode(&below.join("lock"))],
        [0o600, 0o600]
    );
    assert_eq!(
        RealDisk.list(&below).unwrap(),
        ["file", "lock"],
        "nothing is left beside"
    );
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_file_is_read_whole_or_not_at_all() {
    let dir = fresh_dir("read");
    let file = dir.join("file");
    replace(&RealDisk, &file, b"content").unwrap();
    assert_eq!(
        RealDisk.read(&file, 7).unwrap().as_deref(),
        Some(b"content".as_slice())
    );
    assert_eq!(
        RealDisk.read(&file, 6).unwrap_err().kind(),
        std::io::ErrorKind::FileTooLarge
    );
    assert_eq!(RealDisk.read(&dir.join("none"), 7).unwrap(), None);
    assert_eq!(RealDisk.list(&dir.join("none")).unwrap(), [""; 0]);
    RealDisk.remove(&file).unwrap();
    RealDisk.remove(&file).unwrap();
    RealDisk.remove_dir(&dir).unwrap();
    RealDisk.remove_dir(&dir).unwrap();
}

#[test]
fn a_lock_has_one_holder() {
    let dir = fresh_dir("lock");
    let path = dir.join("lock");
    let held = RealDisk.lock(&path).unwrap();
    assert!(held.is_some());
    assert!(RealDisk.lock(&path).unwrap().is_none());
    drop(held);
    assert!(RealDisk.lock(&path).unwrap().is_some());
    std::fs::remove_dir_all(&dir).unwrap();
}
