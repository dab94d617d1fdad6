//! The seam between tables and the databases they are in: statements, values, rows.
//!
//! Every statement is written once, in the SQL that SQLite and PostgreSQL share, with parameters `?1`, `?2`. What
//! differs (types of columns, transactions, how a database is opened) is in the files of the two. It must not know
//! what a table is for.

use rusqlite::types::{ToSqlOutput, ValueRef};

use super::StateError;

/// Statements within one transaction.
pub(super) trait Sql {
    /// Rows of an answer, all of them.
    fn query(&mut self, sql: &'static str, values: &[Value]) -> Result<Vec<Row>, StateError>;

    /// How many rows a statement changed.
    fn execute(&mut self, sql: &'static str, values: &[Value]) -> Result<usize, StateError>;

    /// The first row of an answer.
    fn first(&mut self, sql: &'static str, values: &[Value]) -> Result<Option<Row>, StateError> {
        Ok(self.query(sql, values)?.into_iter().next())
    }
}

/// What a transaction is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Access {
    /// It sees one moment, and changes nothing.
    Read,
    /// It has the right to write from its beginning: of all processes, one at a time.
    Write,
}

/// A value of a column, or of a parameter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Value {
    Null,
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Bytes(value.to_vec())
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}

/// The columns of a row, taken from the left.
#[derive(Debug)]
pub(super) struct Row(std::vec::IntoIter<Value>);

impl Row {
    pub(super) fn new(columns: Vec<Value>) -> Self {
        Self(columns.into_iter())
    }

    pub(super) fn integer(&mut self) -> Result<i64, StateError> {
        self.maybe_integer()?.ok_or(StateError::Column)
    }

    pub(super) fn maybe_integer(&mut self) -> Result<Option<i64>, StateError> {
        match self.0.next() {
            Some(Value::Integer(value)) => Ok(Some(value)),
            Some(Value::Null) => Ok(None),
            Some(Value::Text(_) | Value::Bytes(_)) | None => Err(StateError::Column),
        }
    }

    pub(super) fn text(&mut self) -> Result<String, StateError> {
        match self.0.next() {
            Some(Value::Text(value)) => Ok(value),
            Some(Value::Integer(_) | Value::Null | Value::Bytes(_)) | None => Err(StateError::Column),
        }
    }

    pub(super) fn bytes(&mut self) -> Result<Vec<u8>, StateError> {
        match self.0.next() {
            Some(Value::Bytes(value)) => Ok(value),
            Some(Value::Integer(_) | Value::Null | Value::Text(_)) | None => Err(StateError::Column),
        }
    }
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(value) => ValueRef::Integer(*value),
            Self::Text(value) => ValueRef::Text(value.as_bytes()),
            Self::Bytes(value) => ValueRef::Blob(value),
        }))
    }
}

/// A transaction of SQLite.
pub(super) struct InFile<'c>(pub(super) rusqlite::Transaction<'c>);

impl Sql for InFile<'_> {
    fn query(&mut self, sql: &'static str, values: &[Value]) -> Result<Vec<Row>, StateError> {
        let mut statement = self.0.prepare_cached(sql)?;
        let columns = statement.column_count();
        let mut rows = statement.query(rusqlite::params_from_iter(values))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let value = |column| {
                Ok(match row.get_ref(column)? {
                    ValueRef::Null => Value::Null,
                    ValueRef::Integer(value) => Value::Integer(value),
                    ValueRef::Text(value) => {
                        Value::Text(str::from_utf8(value).map_err(|_| StateError::Column)?.to_owned())
                    }
                    ValueRef::Blob(value) => Value::Bytes(value.to_vec()),
                    ValueRef::Real(_) => return Err(StateError::Column),
                })
            };
            let values: Result<_, StateError> = (0..columns).map(value).collect();
            found.push(Row::new(values?));
        }
        Ok(found)
    }

    fn execute(&mut self, sql: &'static str, values: &[Value]) -> Result<usize, StateError> {
        let mut statement = self.0.prepare_cached(sql)?;
        Ok(statement.execute(rusqlite::params_from_iter(values))?)
    }
}
