//! Reading ZIP archives (PKWARE APPNOTE 6.3) that somebody else made: what the directory at the end says, stored or
//! deflated, and nothing else. Two entries of one name, and a local header that says another name, are refused: other
//! readers would see another archive.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use super::Refused;

/// How far from its end an archive's directory is looked for: the end record, its comment, and a signature behind it.
const TAIL: u64 = 128 * 1024;
/// Most entries. osv.dev's archives have some hundred thousand.
const ENTRIES_MAX: usize = 1_000_000;

/// One file in an archive.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    /// Its mode, where a Unix system made it.
    pub(super) mode: u32,
    method: u16,
    packed: u64,
    size: u64,
    at: u64,
}

/// An archive.
#[derive(Debug)]
pub(super) struct Archive<R> {
    file: R,
    entries: Vec<Entry>,
    shown: String,
}

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

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }
}

impl Archive<File> {
    /// Reads the directory of an archive in a file.
    pub(super) fn open(path: &Path) -> Result<Self, Refused> {
        let file = File::open(path).map_err(|error| Refused::unreadable(path, &error))?;
        Self::of(file, &path.display().to_string())
    }
}

impl<R: Read + Seek> Archive<R> {
    /// Reads the directory of an archive.
    pub(super) fn of(mut file: R, shown: &str) -> Result<Self, Refused> {
        let shown = shown.to_owned();
        let entries = directory(&mut file)
            .map_err(|error| Refused::other(format!("`{shown}` cannot be read: {error}")))?;
        let entries =
            entries.ok_or_else(|| Refused::other(format!("`{shown}` is no ZIP archive that can be read")))?;
        let mut names = BTreeSet::new();
        if let Some(twice) = entries.iter().find(|entry| !names.insert(entry.name.as_str())) {
            return Err(Refused::other(format!("`{shown}` has `{}` twice", twice.name)));
        }
        Ok(Self { file, entries, shown })
    }

    /// What is in it.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// A file's bytes, as many as it says and not more than `most`.
    pub(super) fn read(&mut self, entry: &Entry, most: usize) -> Result<Vec<u8>, Refused> {
        let shown = self.shown.clone();
        let bad = |what: &str| Refused::other(format!("`{shown}`: `{}` {what}", entry.name));
        let size = usize::try_from(entry.size).ok().filter(|size| *size <= most);
        let size = size.ok_or_else(|| bad(&format!("is larger than {most} bytes")))?;
        let packed = self
            .packed(entry)
            .ok()
            .flatten()
            .ok_or_else(|| bad("is damaged"))?;
        let bytes = match entry.method {
            0 => packed,
            8 => miniz_oxide::inflate::decompress_to_vec_with_limit(&packed, size)
                .map_err(|_| bad("is damaged"))?,
            _ => return Err(bad("is packed in a way that is not read")),
        };
        if bytes.len() == size {
            Ok(bytes)
        } else {
            Err(bad("is not as long as it says"))
        }
    }

    fn packed(&mut self, entry: &Entry) -> io::Result<Option<Vec<u8>>> {
        self.file.seek(SeekFrom::Start(entry.at))?;
        let mut head = [0; 30];
        self.file.read_exact(&mut head)?;
        let Some((name, extra)) = local(&head) else {
            return Ok(None);
        };
        let mut own = vec![0; name];
        self.file.read_exact(&mut own)?;
        if own != entry.name.as_bytes() {
            return Ok(None);
        }
        self.file.seek(SeekFrom::Current(extra))?;
        let mut packed = Vec::new();
        Read::by_ref(&mut self.file)
            .take(entry.packed)
            .read_to_end(&mut packed)?;
        Ok((u64::try_from(packed.len()).ok() == Some(entry.packed)).then_some(packed))
    }
}

/// The lengths of the name and of the extra field in a local header.
fn local(head: &[u8]) -> Option<(usize, i64)> {
    let mut fields = Fields(head);
    (fields.u32()? == 0x0403_4b50).then_some(())?;
    fields.take(22)?;
    Some((usize::from(fields.u16()?), i64::from(fields.u16()?)))
}

/// The entries of the central directory; none where it is not one this reads.
fn directory<R: Read + Seek>(file: &mut R) -> io::Result<Option<Vec<Entry>>> {
    let length = file.seek(SeekFrom::End(0))?;
    let from = length.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let Some(end) = tail.windows(4).rposition(|window| window == [b'P', b'K', 5, 6]) else {
        return Ok(None);
    };
    let Some((mut count, mut size, mut at)) = end_record(tail.get(end..).unwrap_or_default()) else {
        return Ok(None);
    };
    if count == 0xFFFF || at == 0xFFFF_FFFF {
        let locator = end.checked_sub(20).and_then(|start| tail.get(start..end));
        let Some(record) = locator.and_then(locate64) else {
            return Ok(None);
        };
        file.seek(SeekFrom::Start(record))?;
        let mut head = [0; 56];
        file.read_exact(&mut head)?;
        let Some(found) = end_record64(&head) else {
            return Ok(None);
        };
        (count, size, at) = found;
    }
    if size > length || usize::try_from(count).map_or(true, |count| count > ENTRIES_MAX) {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(at))?;
    let mut central = Vec::new();
    file.take(size).read_to_end(&mut central)?;
    let mut fields = Fields(&central);
    let mut entries = Vec::new();
    for _ in 0..count {
        match entry(&mut fields) {
            Some(entry) => entries.push(entry),
            None => return Ok(None),
        }
    }
    Ok(Some(entries))
}

fn end_record(record: &[u8]) -> Option<(u64, u64, u64)> {
    let mut fields = Fields(record);
    fields.take(10)?;
    Some((
        u64::from(fields.u16()?),
        u64::from(fields.u32()?),
        u64::from(fields.u32()?),
    ))
}

fn locate64(locator: &[u8]) -> Option<u64> {
    let mut fields = Fields(locator);
    (fields.u32()? == 0x0706_4b50).then_some(())?;
    fields.take(4)?;
    fields.u64()
}

fn end_record64(record: &[u8]) -> Option<(u64, u64, u64)> {
    let mut fields = Fields(record);
    (fields.u32()? == 0x0606_4b50).then_some(())?;
    fields.take(28)?;
    Some((fields.u64()?, fields.u64()?, fields.u64()?))
}

fn entry(fields: &mut Fields<'_>) -> Option<Entry> {
    (fields.u32()? == 0x0201_4b50).then_some(())?;
    let made_by = fields.u16()?;
    fields.take(2)?;
    let flags = fields.u16()?;
    let method = fields.u16()?;
    fields.take(8)?;
    let (mut packed, mut size) = (u64::from(fields.u32()?), u64::from(fields.u32()?));
    let (name, extra, comment) = (fields.u16()?, fields.u16()?, fields.u16()?);
    fields.take(4)?;
    let attributes = fields.u32()?;
    let mut at = u64::from(fields.u32()?);
    let name = String::from_utf8(fields.take(usize::from(name))?.to_vec()).ok()?;
    let mut extra = Fields(fields.take(usize::from(extra))?);
    fields.take(usize::from(comment))?;
    while let (Some(id), Some(length)) = (extra.u16(), extra.u16()) {
        let mut own = Fields(extra.take(usize::from(length))?);
        if id == 1 {
            for value in [&mut size, &mut packed, &mut at] {
                if *value == 0xFFFF_FFFF {
                    *value = own.u64()?;
                }
            }
        }
    }
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
