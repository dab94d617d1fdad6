//! Reading ZIP archives (PKWARE APPNOTE 6.3) that somebody else made: what the directory at the end says, stored or
//! deflated, and nothing else. Two entries of one name, a local header that says another name, comments and ZIP64
//! are refused: other readers would see another archive, and a bundle needs none of it.
//!
//! It knows bytes alone: no files, and nothing else of this crate, so that it can be fuzzed (`fuzz/targets/bundle.rs`).

use std::collections::BTreeSet;

/// The record at the end of an archive. A comment behind it could hold another one, so there may be none.
const END: usize = 22;
/// Most files in an archive.
pub(super) const ENTRIES_MAX: usize = 50_000;

/// One file in an archive.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    /// Its mode, where a Unix system made it.
    pub(super) mode: u32,
    method: u16,
    packed: usize,
    size: usize,
    at: usize,
}

/// An archive.
#[derive(Debug)]
pub(super) struct Archive<'a> {
    bytes: &'a [u8],
    entries: Vec<Entry>,
}

/// Why an archive, or a file in it, is not read; completes "the bundle ...".
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Unread(pub(super) String);

/// Little-endian numbers one after the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    /// A length or a place; all ones stand for one of ZIP64.
    fn length(&mut self) -> Option<usize> {
        let said = self.u32().filter(|said| *said != u32::MAX)?;
        usize::try_from(said).ok()
    }
}

impl<'a> Archive<'a> {
    /// Reads the directory of an archive.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Unread> {
        let entries =
            directory(bytes).ok_or_else(|| Unread("is no ZIP archive that can be read".to_owned()))?;
        let mut names = BTreeSet::new();
        if let Some(twice) = entries.iter().find(|entry| !names.insert(entry.name.as_str())) {
            return Err(Unread(format!("has `{}` twice", twice.name.escape_debug())));
        }
        Ok(Self { bytes, entries })
    }

    /// What is in it.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// A file's bytes, as many as it says and not more than `most`.
    pub(super) fn bytes(&self, entry: &Entry, most: usize) -> Result<Vec<u8>, Unread> {
        let bad = |what: &str| Unread(format!("has `{}`, which {what}", entry.name.escape_debug()));
        if entry.size > most {
            return Err(bad("is too large"));
        }
        let packed = self.packed(entry).ok_or_else(|| bad("is damaged"))?;
        let bytes = match entry.method {
            0 => packed.to_vec(),
            8 => miniz_oxide::inflate::decompress_to_vec_with_limit(packed, entry.size)
                .map_err(|_| bad("is damaged, or longer than it says"))?,
            _ => return Err(bad("is packed in a way that is not read")),
        };
        if bytes.len() == entry.size {
            Ok(bytes)
        } else {
            Err(bad("is not as long as it says"))
        }
    }

    fn packed(&self, entry: &Entry) -> Option<&'a [u8]> {
        let mut fields = Fields(self.bytes.get(entry.at..)?);
        (fields.u32()? == 0x0403_4b50).then_some(())?;
        fields.take(22)?;
        let (name, extra) = (fields.u16()?, fields.u16()?);
        (fields.take(usize::from(name))? == entry.name.as_bytes()).then_some(())?;
        fields.take(usize::from(extra))?;
        fields.take(entry.packed)
    }
}

/// The entries of the central directory; none where it is not one this reads.
fn directory(bytes: &[u8]) -> Option<Vec<Entry>> {
    let end = bytes.len().checked_sub(END)?;
    let mut record = Fields(bytes.get(end..)?);
    (record.u32()? == 0x0605_4b50).then_some(())?;
    record.take(4)?;
    let (here, count) = (record.u16()?, record.u16()?);
    let (size, at, comment) = (record.length()?, record.length()?, record.u16()?);
    // One disk, no comment, and the directory right before its end: one reading, not several.
    let whole = here == count && comment == 0 && at.checked_add(size) == Some(end);
    let count = usize::from(count);
    (whole && count <= ENTRIES_MAX).then_some(())?;
    let mut fields = Fields(bytes.get(at..end)?);
    let entries = (0..count)
        .map(|_| entry(&mut fields))
        .collect::<Option<Vec<_>>>()?;
    fields.0.is_empty().then_some(entries)
}

fn entry(fields: &mut Fields<'_>) -> Option<Entry> {
    (fields.u32()? == 0x0201_4b50).then_some(())?;
    let made_by = fields.u16()?;
    fields.take(2)?;
    let flags = fields.u16()?;
    let method = fields.u16()?;
    fields.take(8)?;
    let (packed, size) = (fields.length()?, fields.length()?);
    let (name, extra, comment) = (fields.u16()?, fields.u16()?, fields.u16()?);
    fields.take(4)?;
    let attributes = fields.u32()?;
    let at = fields.length()?;
    let name = String::from_utf8(fields.take(usize::from(name))?.to_vec()).ok()?;
    fields.take(usize::from(extra))?;
    fields.take(usize::from(comment))?;
    // Encrypted entries are not read.
    (flags & 1 == 0).then_some(())?;
    let unix = made_by >> 8 == 3;
    Some(Entry {
        name,
        mode: if unix { attributes >> 16 } else { 0 },
        method,
        packed,
        size,
        at,
    })
}

#[cfg(test)]
mod tests {
    use super::Archive;

    /// An archive with stored files, as `name content` each.
    fn archive(files: &[(&str, &str)]) -> Vec<u8> {
        let (mut bytes, mut directory) = (Vec::new(), Vec::new());
        for (name, content) in files {
            let length = u32::try_from(content.len()).unwrap().to_le_bytes();
            let short = u16::try_from(name.len()).unwrap().to_le_bytes();
            let at = u32::try_from(bytes.len()).unwrap().to_le_bytes();
            bytes.extend(
                [
                    b"PK\x03\x04",
                    &[0; 14][..],
                    &length,
                    &length,
                    &short,
                    &[0; 2],
                    name.as_bytes(),
                ]
                .concat(),
            );
            bytes.extend(content.as_bytes());
            let head = [b"PK\x01\x02", &[0; 16][..], &length, &length, &short, &[0; 12]].concat();
            directory.extend([&head[..], &at, name.as_bytes()].concat());
        }
        let count = u16::try_from(files.len()).unwrap().to_le_bytes();
        let size = u32::try_from(directory.len()).unwrap().to_le_bytes();
        let at = u32::try_from(bytes.len()).unwrap().to_le_bytes();
        [
            &bytes,
            &directory,
            &b"PK\x05\x06\0\0\0\0"[..],
            &count,
            &count,
            &size,
            &at,
            &[0, 0],
        ]
        .concat()
    }

    #[test]
    fn what_is_stored_comes_out() {
        let bytes = archive(&[("a", "one"), ("b/c", "")]);
        let archive = Archive::read(&bytes).unwrap();
        let read: Vec<_> = archive
            .entries()
            .iter()
            .map(|entry| archive.bytes(entry, 3).unwrap())
            .collect();
        assert_eq!(read, [b"one".to_vec(), Vec::new()]);
        let said = archive.bytes(&archive.entries()[0], 2).unwrap_err();
        assert_eq!(said.0, "has `a`, which is too large");
    }

    #[test]
    fn two_readings_are_none() {
        assert!(
            Archive::read(&archive(&[("a", "1"), ("a", "2")]))
                .unwrap_err()
                .0
                .contains("`a` twice")
        );
        let good = archive(&[("a", "one"), ("b", "two")]);
        // Something before it, something behind it, and an entry more or less than it says.
        assert!(Archive::read(&[b"x", &good[..]].concat()).is_err());
        assert!(Archive::read(&[&good[..], b"x"].concat()).is_err());
        for count in [1, 3] {
            let mut changed = good.clone();
            let at = good.len() - 14;
            (changed[at], changed[at + 2]) = (count, count);
            assert!(Archive::read(&changed).is_err(), "{count}");
        }
        // The file says another name than the directory.
        let mut changed = good;
        changed[30] = b'x';
        let archive = Archive::read(&changed).unwrap();
        assert!(
            archive
                .bytes(&archive.entries()[0], 9)
                .unwrap_err()
                .0
                .contains("damaged")
        );
    }
}
