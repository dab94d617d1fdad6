//! Digests of files and of trees of files. Every byte is read each time: times and sizes of files can be set by
//! whoever changes them, so nothing is taken from them.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Component, Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use aws_lc_rs::digest::{Context, SHA256, digest};
use records::digest::hex;

use super::Refused;

/// How much is read at once.
const CHUNK: usize = 256 * 1024;
/// Most files in a tree.
const ENTRIES_MAX: usize = 200_000;

/// The digest of bytes, as `sha256:...`.
pub(super) fn of_bytes(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(digest(&SHA256, bytes).as_ref()))
}

/// The size and the digest of a file.
pub(super) fn of_file(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; CHUNK];
    let mut size = 0;
    loop {
        let read = file.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            let digest = context.finish();
            return Ok((size, format!("sha256:{}", hex(digest.as_ref()))));
        };
        context.update(bytes);
        size += u64::try_from(read).unwrap_or(0);
    }
}

/// What a tree holds, a line for each file and link in the order of their paths. Two trees are the same if and only
/// if their listings are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Listing {
    pub(super) text: String,
    pub(super) files: usize,
    pub(super) bytes: u64,
    /// Where links lead that leave the tree.
    pub(super) outside: Vec<PathBuf>,
}

/// One thing in a tree.
enum Entry {
    File(PathBuf, bool),
    Link(PathBuf, PathBuf),
}

impl Listing {
    /// Reads a whole tree.
    pub(super) fn of(root: &Path) -> io::Result<Self> {
        let mut entries = Vec::new();
        walk(root, Path::new(""), &mut entries)?;
        let next = AtomicUsize::new(0);
        let workers = std::thread::available_parallelism().map_or(1, |n| n.get().min(8));
        let work = || -> io::Result<Vec<(usize, u64, String)>> {
            let mut done = Vec::new();
            while let n = next.fetch_add(1, Ordering::Relaxed)
                && let Some(entry) = entries.get(n)
            {
                let (size, line) = line(root, entry)?;
                done.push((n, size, line));
            }
            Ok(done)
        };
        let mut lines = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            let mut lines = Vec::with_capacity(entries.len());
            for thread in threads {
                let lost = |_| io::Error::other("reading the tree broke off");
                lines.extend(thread.join().map_err(lost)??);
            }
            Ok::<_, io::Error>(lines)
        })?;
        lines.sort_unstable_by_key(|(n, ..)| *n);
        let outside = entries.iter().filter_map(|entry| match entry {
            Entry::File(..) => None,
            Entry::Link(path, target) => leaves(path, target).then(|| root.join(path)),
        });
        Ok(Self {
            files: entries.len(),
            bytes: lines.iter().map(|(_, size, _)| size).sum(),
            outside: outside.collect(),
            text: lines.into_iter().map(|(_, _, line)| line).collect(),
        })
    }

    /// Of a copy that was just made; calls go on meanwhile.
    pub(super) async fn kept(root: &Path) -> Result<Self, Refused> {
        let own = root.to_path_buf();
        let listing = tokio::task::spawn_blocking(move || Self::of(&own)).await;
        let listing = listing.map_err(|_| Refused::other("reading the copy broke off"))?;
        listing.map_err(|error| Refused::unreadable(root, &error))
    }

    /// The digest of the tree.
    pub(super) fn digest(&self) -> String {
        of_bytes(self.text.as_bytes())
    }
}

/// What differs between two listings, path by path, a few of them.
pub(super) fn difference(approved: &str, found: &str) -> String {
    const SHOWN: usize = 5;
    let parse = |text: &str| -> std::collections::BTreeMap<String, String> {
        let lines = text.lines().filter_map(|line| line.rsplit_once(" | "));
        lines
            .map(|(what, path)| (path.to_owned(), what.to_owned()))
            .collect()
    };
    let (approved, found) = (parse(approved), parse(found));
    let mut said = Vec::new();
    for (path, was) in &approved {
        match found.get(path) {
            None => said.push(format!("`{path}` is gone")),
            Some(is) if is != was => said.push(format!("`{path}` was {was} and is {is}")),
            Some(_) => {}
        }
    }
    let new = found.keys().filter(|path| !approved.contains_key(*path));
    said.extend(new.map(|path| format!("`{path}` is new")));
    let more = said.len().saturating_sub(SHOWN);
    said.truncate(SHOWN);
    if more > 0 {
        said.push(format!("and {more} more"));
    }
    said.join("; ")
}

fn line(root: &Path, entry: &Entry) -> io::Result<(u64, String)> {
    let (path, what, size) = match entry {
        Entry::Link(path, target) => (path, format!("link to {}", target.display()), 0),
        Entry::File(path, runs) => {
            let (size, digest) = of_file(&root.join(path))?;
            let kind = if *runs { "program" } else { "file" };
            (path, format!("{kind} {size} {digest}"), size)
        }
    };
    let text = path.to_str().filter(|text| !text.contains(['\n', '|']));
    let text =
        text.ok_or_else(|| io::Error::other(format!("{}: the name cannot be listed", path.display())))?;
    Ok((size, format!("{what} | {text}\n")))
}

fn walk(root: &Path, within: &Path, entries: &mut Vec<Entry>) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mut names: Vec<_> = fs::read_dir(root.join(within))?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<io::Result<_>>()?;
    names.sort_unstable();
    for name in names {
        let path = within.join(name);
        let at = root.join(&path);
        let found = fs::symlink_metadata(&at)?;
        if found.is_dir() {
            walk(root, &path, entries)?;
        } else if found.is_symlink() {
            entries.push(Entry::Link(path, fs::read_link(&at)?));
        } else if found.is_file() {
            entries.push(Entry::File(path, found.permissions().mode() & 0o111 != 0));
        } else {
            return Err(io::Error::other(format!(
                "{}: neither a file nor a link",
                at.display()
            )));
        }
        if entries.len() > ENTRIES_MAX {
            return Err(io::Error::other(format!("more than {ENTRIES_MAX} files")));
        }
    }
    Ok(())
}

/// Whether a link leads out of its tree.
fn leaves(path: &Path, target: &Path) -> bool {
    let mut depth = path.components().count().saturating_sub(1);
    for component in target.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(_) => depth += 1,
            Component::ParentDir if depth > 0 => depth -= 1,
            Component::ParentDir | Component::Prefix(_) | Component::RootDir => return true,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, path::Path};

    use super::{Listing, difference, leaves, of_bytes, of_file};

    #[test]
    fn every_change_of_a_tree_shows_and_is_named() {
        let root = std::env::temp_dir().join(format!("sallyport-tree-{}", std::process::id()));
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/one.js"), "1").unwrap();
        fs::write(root.join("two.js"), "2").unwrap();
        symlink("a/b/one.js", root.join("in")).unwrap();
        let first = Listing::of(&root).unwrap();
        assert_eq!((first.files, first.bytes), (3, 2));
        assert_eq!(first, Listing::of(&root).unwrap());
        assert!(first.outside.is_empty());
        assert_eq!(of_file(&root.join("two.js")).unwrap(), (1, of_bytes(b"2")));

        // Same size, and the time put back: only the bytes say so.
        let time = fs::metadata(root.join("two.js")).unwrap().modified().unwrap();
        fs::write(root.join("two.js"), "3").unwrap();
        fs::File::options()
            .write(true)
            .open(root.join("two.js"))
            .unwrap()
            .set_modified(time)
            .unwrap();
        let changed = Listing::of(&root).unwrap();
        assert_ne!(first.digest(), changed.digest());
        let said = difference(&first.text, &changed.text);
        assert!(
            said.contains("`two.js` was file 1 sha256:") && !said.contains("one.js"),
            "{said}"
        );

        fs::write(root.join("two.js"), "2").unwrap();
        fs::write(root.join("three.js"), "").unwrap();
        fs::remove_file(root.join("in")).unwrap();
        symlink("/etc/passwd", root.join("out")).unwrap();
        let other = Listing::of(&root).unwrap();
        let said = difference(&first.text, &other.text);
        assert_eq!(said, "`in` is gone; `out` is new; `three.js` is new");
        assert_eq!(other.outside, [root.join("out")]);
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn links_that_leave_are_known() {
        let leads = |path: &str, target: &str| leaves(Path::new(path), Path::new(target));
        assert!(!leads("a/b/c", "../../x"));
        assert!(leads("a/b/c", "../../../x"));
        assert!(leads("a", "/x"));
        assert!(!leads("node_modules/.bin/x", "../x/index.js"));
    }
}
