//! Rows that nobody may take away: a seal over which rows some tables have.
//!
//! A row that is edited or moved does not open, but one that is deleted leaves nothing that could fail, and
//! neither does one in whose place an older one was put. So the rows of the tables that a decision rests on are
//! held: a digest of which there are, changed in the transaction that changes a row, and sealed.
//!
//! INVARIANT (index places): the key of the index is sealed for its second place in the transaction that first
//! held the rows. Whoever has no key can make no database of before that, in which nothing is held yet.

use super::{
    StateError,
    sql::{Row, Sql, Value},
};
use crate::{
    ambient::Random,
    digest::{Digester, Sha256},
    keys::{
        Secret,
        seal::{open, seal},
    },
};

/// What the digest is sealed for.
const PLACE: &[u8] = b"sallyport-rows/1";
/// Separates the names of tables.
const BETWEEN: &str = "\n";

/// What has to be there when tables are opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Due {
    /// They were begun before: where there are none, they are lost.
    pub begun: bool,
    /// Tables no row of which may be deleted, or put back, by anybody else. A program that names others than the one
    /// before holds these from then on; the two must not run at once.
    pub counted: &'static [&'static str],
}

/// What was found when tables were opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Found {
    /// Their rows are held.
    Held,
    /// Tables of a program that held none, or new ones.
    Unheld,
}

/// A row of a counted table: table, key and version.
pub(super) type Place = (String, String, i64);

/// See the module.
#[derive(Debug)]
pub(super) struct Counted {
    tables: &'static [&'static str],
    rows: Digester,
    key: Secret,
    random: Random,
}

impl Counted {
    /// With the key of the index, which stays as long as the tables.
    pub(super) fn new(tables: &'static [&'static str], index: &Digester, random: Random) -> Self {
        Self {
            tables,
            rows: index.clone(),
            key: Secret::new(index.tag(&[b"sallyport-rows/1 key"]).to_vec()),
            random,
        }
    }

    /// Whether rows of this table are held.
    pub(super) fn has(&self, table: &str) -> bool {
        self.tables.contains(&table)
    }

    /// Refuses tables whose rows are not those that are held, and holds those of tables of before.
    pub(super) fn begin(&self, sql: &mut dyn Sql, found: Found) -> Result<(), StateError> {
        match found {
            Found::Unheld => {}
            Found::Held => {
                let (held, tables) = self.held(sql)?;
                let tables: Vec<&str> = tables.split(BETWEEN).collect();
                if digest(&self.rows, sql, &tables)? != held {
                    return Err(StateError::Rows);
                }
                if tables == self.tables {
                    return Ok(());
                }
            }
        }
        let now = digest(&self.rows, sql, self.tables)?;
        self.hold(sql, now)
    }

    /// Some rows went, and others came.
    pub(super) fn change<'p>(
        &self,
        sql: &mut dyn Sql,
        places: impl IntoIterator<Item = &'p Place>,
    ) -> Result<(), StateError> {
        let mut places = places.into_iter().peekable();
        if places.peek().is_none() {
            return Ok(());
        }
        let (mut held, tables) = self.held(sql)?;
        if !tables.split(BETWEEN).eq(self.tables.iter().copied()) {
            return Err(StateError::OtherRows);
        }
        for place in places {
            mix(&mut held, &self.rows, place);
        }
        self.hold(sql, held)
    }

    fn held(&self, sql: &mut dyn Sql) -> Result<(Sha256, String), StateError> {
        let row = sql.first("SELECT held FROM changes", &[])?;
        // Nothing at all is what somebody leaves who empties it.
        let sealed = row.ok_or(StateError::Rows)?.bytes();
        let sealed = sealed.map_err(|_| StateError::Rows)?;
        let opened = open(&self.key, PLACE, &sealed).map_err(|_| StateError::Rows)?;
        let (held, tables) = opened.expose().split_first_chunk().ok_or(StateError::Rows)?;
        Ok((*held, String::from_utf8_lossy(tables).into_owned()))
    }

    fn hold(&self, sql: &mut dyn Sql, held: Sha256) -> Result<(), StateError> {
        let plain = [held.as_slice(), self.tables.join(BETWEEN).as_bytes()].concat();
        let sealed = seal(&self.key, PLACE, &plain, &self.random);
        let sealed = sealed.map_err(|error| StateError::sealed(error, "changes", "held"))?;
        sql.execute("UPDATE changes SET held = ?1", &[sealed.into()])?;
        Ok(())
    }
}

/// A row of an answer that has a table, a key and a version.
pub(super) fn place(mut row: Row) -> Result<Place, StateError> {
    Ok((row.text()?, row.text()?, row.integer()?))
}

/// The digest of the rows there are.
fn digest(digester: &Digester, sql: &mut dyn Sql, tables: &[&str]) -> Result<Sha256, StateError> {
    let mut sum = Sha256::default();
    for table in tables {
        let all = "SELECT tbl, key, version FROM record WHERE tbl = ?1";
        for row in sql.query(all, &[Value::from(*table)])? {
            mix(&mut sum, digester, &place(row)?);
        }
    }
    Ok(sum)
}

/// Puts a row into the digest, or takes it out: in any order, since rows are changed in any. Nobody sees the digest,
/// so nobody finds rows that cancel each other out.
fn mix(sum: &mut Sha256, digester: &Digester, (table, key, version): &Place) {
    let head = format!("sallyport-row/1\0{}\0{}\0{version}\0", table.len(), key.len());
    let row = digester.tag(&[head.as_bytes(), table.as_bytes(), key.as_bytes()]);
    for (sum, row) in sum.iter_mut().zip(row) {
        *sum ^= row;
    }
}
