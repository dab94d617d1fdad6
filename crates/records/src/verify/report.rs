//! What verification found: for people and for machines.

use std::{collections::BTreeMap, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use wire::json::object;

use crate::{
    ledger::{
        checkpoint::{Checkpoint, Vouched},
        entry::Kind,
    },
    words::words,
};

/// Problems listed one by one; more are counted.
const PROBLEMS_MAX: usize = 1_000;

words! {
    /// What can be wrong.
    pub enum Fault {
        /// A call was ended twice.
        CallEndedTwice => "call-ended-twice",
        /// A call was begun twice.
        CallBegunTwice => "call-begun-twice",
        /// A call was begun and never ended.
        CallWithoutEnding => "call-without-ending",
        /// A signature of the checkpoint does not hold.
        CheckpointAltered => "checkpoint-altered",
        /// The checkpoint is no checkpoint.
        CheckpointMalformed => "checkpoint-malformed",
        /// There is no checkpoint.
        CheckpointMissing => "checkpoint-missing",
        /// The checkpoint was signed by somebody else, or not by all it should be.
        CheckpointUnknownKey => "checkpoint-unknown-key",
        /// Entries are exchanged.
        EntriesSwapped => "entries-swapped",
        /// An entry stands where none was signed.
        EntryAdded => "entry-added",
        /// An entry is not the one that was signed.
        EntryAltered => "entry-altered",
        /// An entry that was signed is gone.
        EntryRemoved => "entry-removed",
        /// An entry is not one this program can read.
        EntryUnreadable => "entry-unreadable",
        /// The log does not continue what was signed before.
        Forked => "forked",
        /// A checkpoint that was seen before does not hold itself.
        OlderCheckpoint => "older-checkpoint",
        /// A partial tile is not a part of the tree.
        PartialTileForged => "partial-tile-forged",
        /// The log is shorter than it was.
        RolledBack => "rolled-back",
        /// All fits together, but not with the signed root.
        RootDiffers => "root-differs",
        /// An epoch does not follow the one before.
        Epoch => "epoch",
        /// Time passed without an entry and without an account of it.
        Silence => "silence",
        /// A tile is not what the entries make it.
        TileAltered => "tile-altered",
        /// A tile is missing or cut.
        TileMissing => "tile-missing",
        /// A bundle of entries is missing or cut.
        Truncated => "truncated",
        /// The system refuses to read something.
        Unreadable => "unreadable",
        /// Too few witnesses cosigned, or none that are known.
        Unwitnessed => "unwitnessed",
        /// A write-ahead segment is not what was written.
        WalAltered => "wal-altered",
    }
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// What kind of thing.
    pub fault: Fault,
    /// In which file, below the log's directory.
    pub file: Option<String>,
    /// At which entry.
    pub index: Option<u64>,
    /// A sentence for people.
    pub text: String,
}

impl Problem {
    pub(super) fn new(fault: Fault, text: &str) -> Self {
        Self {
            fault,
            file: None,
            index: None,
            text: text.to_owned(),
        }
    }

    pub(super) fn file(mut self, file: &str) -> Self {
        self.file = Some(file.to_owned());
        self
    }

    pub(super) fn index(mut self, index: u64) -> Self {
        self.index = Some(index);
        self
    }
}

/// What verification found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Report {
    /// The log's name.
    pub origin: String,
    /// Entries the checkpoint covers.
    pub size: u64,
    /// The signed root, in base64.
    pub root: String,
    /// Whose signatures hold: key and, for cosignatures, time.
    pub signed_by: Vec<String>,
    /// Which witnesses' cosignatures hold, where they were asked for.
    pub witnessed_by: Vec<String>,
    /// Entries that were hashed.
    pub entries: u64,
    /// How many of each kind.
    pub kinds: BTreeMap<Kind, u64>,
    /// Tiles and bundles that were compared.
    pub tiles: u64,
    /// Older checkpoints that were compared.
    pub older: u64,
    /// The largest older checkpoint that agrees.
    pub agreed_size: u64,
    /// Entries in the write-ahead segments that no checkpoint covers yet.
    pub unsigned: u64,
    /// Calls that run or whose process died.
    pub open_calls: u64,
    /// What is wrong, in the order found.
    pub problems: Vec<Problem>,
    /// How many more there are.
    pub more_problems: u64,
    /// What is worth knowing and not wrong.
    pub notes: Vec<String>,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.problems.is_empty()
    }

    pub(super) fn add(&mut self, problem: Problem) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        } else {
            self.more_problems += 1;
        }
    }

    pub(super) fn note(&mut self, text: String) {
        if self.notes.len() < PROBLEMS_MAX {
            self.notes.push(text);
        }
    }

    pub(super) fn agreed(&mut self, size: u64) {
        self.agreed_size = self.agreed_size.max(size);
    }

    pub(super) fn head(&mut self, head: &Checkpoint, vouched: &[Vouched]) {
        self.origin.clone_from(&head.origin);
        self.size = head.size;
        self.root = BASE64.encode(head.root);
        self.signed_by = vouched.iter().map(Vouched::to_string).collect();
    }

    /// The report as one JSON object.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        object(|out| {
            out.boolean("holds", self.holds());
            out.string("origin", &self.origin);
            out.integer("size", self.size);
            out.string("root", &self.root);
            out.array("signed_by", |list| {
                self.signed_by.iter().for_each(|one| list.string(one))
            });
            if !self.witnessed_by.is_empty() {
                out.array("witnessed_by", |list| {
                    self.witnessed_by.iter().for_each(|one| list.string(one))
                });
            }
            out.integer("entries", self.entries);
            out.object("kinds", |kinds| {
                self.kinds
                    .iter()
                    .for_each(|(kind, count)| kinds.integer(kind.as_str(), *count));
            });
            out.integer("tiles", self.tiles);
            out.integer("older", self.older);
            out.integer("unsigned", self.unsigned);
            out.integer("open_calls", self.open_calls);
            out.array("problems", |list| {
                for problem in &self.problems {
                    list.object(|out| {
                        out.string("fault", problem.fault.as_str());
                        if let Some(file) = &problem.file {
                            out.string("file", file);
                        }
                        if let Some(index) = problem.index {
                            out.integer("index", index);
                        }
                        out.string("text", &problem.text);
                    });
                }
            });
            out.integer("more_problems", self.more_problems);
            out.array("notes", |list| {
                self.notes.iter().for_each(|note| list.string(note))
            });
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.origin.is_empty() {
            writeln!(f, "log        {}", self.origin)?;
            writeln!(f, "size       {} entries, root {}", self.size, self.root)?;
        }
        for signer in &self.signed_by {
            writeln!(f, "signed by  {signer}")?;
        }
        for witness in &self.witnessed_by {
            writeln!(f, "witnessed  {witness}")?;
        }
        writeln!(
            f,
            "checked    {} entries, {} tiles, {} older checkpoints; {} entries not yet signed, {} calls open",
            self.entries, self.tiles, self.older, self.unsigned, self.open_calls
        )?;
        for note in &self.notes {
            writeln!(f, "note       {note}")?;
        }
        if self.holds() {
            return writeln!(f, "the log holds");
        }
        for problem in &self.problems {
            write!(f, "problem    {}", problem.fault.as_str())?;
            if let Some(index) = problem.index {
                write!(f, " at entry {index}")?;
            }
            if let Some(file) = &problem.file {
                write!(f, " in {file}")?;
            }
            writeln!(f, ": {}", problem.text)?;
        }
        if self.more_problems > 0 {
            writeln!(f, "and {} more problems", self.more_problems)?;
        }
        writeln!(f, "the log does not hold")
    }
}
