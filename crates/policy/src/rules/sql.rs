//! What a statement in an argument does, and to which tables: `class`, `tables` and `functions` of an argument that
//! is declared as SQL.
//!
//! It fails closed. A text that is not one statement, that our reader does not take, or that two databases would
//! read differently, is of class `unknown` and has no tables: a rule that asks for them cannot be evaluated, and
//! refuses. Nothing here says what a database does with what it reads: views, triggers and rules are its own.

use std::{borrow::Cow, collections::BTreeSet, ops::ControlFlow};

use sqlparser::{
    ast::{
        BinaryOperator, CreateTable, Expr, Insert, ObjectName, ObjectNamePart, OnConflictAction, OnInsert,
        Query, Select, SetExpr, Statement, TableFactor, Visit, Visitor,
    },
    dialect::{self, Dialect as Reader},
    parser::Parser,
    tokenizer::{Token, TokenWithSpan, Tokenizer},
};

use super::{datum::Datum, parse::with_room};

/// Longer texts are not read: of class `unknown`.
const BYTES_MAX: usize = 64 * 1024;
/// Nor those of more words: a tree of so many is walked in the room there is.
const TOKENS_MAX: usize = 8 * 1024;
/// PostgreSQL cuts longer names, and finds the table of what remains.
const NAME_BYTES_MAX: usize = 63;

/// Whose SQL it is.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Dialect {
    /// Nobody has said: only what all of the others read alike is known.
    #[default]
    Any,
    /// Microsoft's.
    MsSql,
    /// MySQL's, with its default modes.
    MySql,
    /// PostgreSQL's.
    PostgreSql,
    /// SQLite's.
    Sqlite,
}

/// What a statement does, as one word.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Class {
    /// It reads, but with functions that may do anything.
    Call,
    Ddl,
    Delete,
    Insert,
    Merge,
    /// It reads, and does nothing else.
    Select,
    Unknown,
    Update,
}

/// The words `class` can be.
pub(super) const CLASSES: [&str; 8] = [
    "call", "ddl", "delete", "insert", "merge", "select", "unknown", "update",
];
/// The members of an argument that is SQL.
pub(super) const MEMBERS: [&str; 4] = ["class", "functions", "tables", "text"];

/// Functions that compute from what they are given, or tell the time or the user: in every database of that name.
/// Sorted.
const HARMLESS: [&str; 74] = [
    "abs",
    "array_agg",
    "avg",
    "bit_length",
    "bool_and",
    "bool_or",
    "cast",
    "ceil",
    "ceiling",
    "char_length",
    "character_length",
    "coalesce",
    "concat",
    "concat_ws",
    "convert",
    "count",
    "cume_dist",
    "current_date",
    "current_time",
    "current_timestamp",
    "current_user",
    "date",
    "date_part",
    "date_trunc",
    "datetime",
    "day",
    "dense_rank",
    "exp",
    "extract",
    "first_value",
    "floor",
    "greatest",
    "group_concat",
    "hour",
    "ifnull",
    "iif",
    "initcap",
    "instr",
    "isnull",
    "json_array_length",
    "json_extract",
    "julianday",
    "lag",
    "last_value",
    "lead",
    "least",
    "left",
    "length",
    "ln",
    "log",
    "lower",
    "ltrim",
    "max",
    "min",
    "minute",
    "mod",
    "month",
    "now",
    "nullif",
    "octet_length",
    "position",
    "power",
    "rank",
    "replace",
    "round",
    "row_number",
    "rtrim",
    "sqrt",
    "strftime",
    "string_agg",
    "sum",
    "trim",
    "upper",
    "year",
];

/// What is known of one text.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Reading {
    class: Class,
    tables: BTreeSet<String>,
    functions: BTreeSet<String>,
}

impl Dialect {
    /// The words configuration uses.
    pub const WORDS: [(&'static str, Self); 5] = [
        ("any", Self::Any),
        ("mssql", Self::MsSql),
        ("mysql", Self::MySql),
        ("postgresql", Self::PostgreSql),
        ("sqlite", Self::Sqlite),
    ];

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let mut words = Self::WORDS.into_iter();
        words.find(|(each, _)| *each == word).map(|(_, dialect)| dialect)
    }

    fn read(self, text: &str) -> Option<Reading> {
        let alone = match self {
            Self::Any => {
                let mut all = [Self::PostgreSql, Self::Sqlite, Self::MySql, Self::MsSql]
                    .into_iter()
                    .map(|dialect| dialect.read(text));
                let first = all.next()??;
                return all.all(|other| other.as_ref() == Some(&first)).then_some(first);
            }
            Self::MsSql => &dialect::MsSqlDialect {} as &dyn Reader,
            Self::MySql => &dialect::MySqlDialect {},
            Self::PostgreSql => &dialect::PostgreSqlDialect {},
            Self::Sqlite => &dialect::SQLiteDialect {},
        };
        let tokens = Tokenizer::new(alone, text).tokenize_with_location().ok()?;
        if tokens.len() > TOKENS_MAX || (self == Self::MsSql && has_second_head(&tokens)) {
            return None;
        }
        let mut parser = Parser::new(alone).with_tokens_with_locations(tokens);
        let statements = parser.parse_statements().ok()?;
        let [statement] = statements.as_slice() else {
            return None;
        };
        let mut walk = Walk {
            dialect: self,
            does: None,
            tables: BTreeSet::new(),
            functions: BTreeSet::new(),
        };
        let ControlFlow::Continue(()) = statement.visit(&mut walk) else {
            return None;
        };
        let harmless = |name: &String| HARMLESS.binary_search(&name.as_str()).is_ok();
        let reads = if walk.functions.iter().all(harmless) {
            Class::Select
        } else {
            Class::Call
        };
        Some(Reading {
            class: walk.does.unwrap_or(reads),
            tables: walk.tables,
            functions: walk.functions,
        })
    }
}

impl Class {
    fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Ddl => "ddl",
            Self::Delete => "delete",
            Self::Insert => "insert",
            Self::Merge => "merge",
            Self::Select => "select",
            Self::Unknown => "unknown",
            Self::Update => "update",
        }
    }
}

/// The record a rule sees in the place of the text.
pub(super) fn record(text: Cow<'_, str>, dialect: Dialect) -> Datum<'_> {
    let reading = if text.len() > BYTES_MAX || is_read_in_two_ways(&text) {
        None
    } else {
        // Trees are walked and dropped by recursion, as deep as a text is long.
        with_room(|| dialect.read(&text))
    };
    let class = reading.as_ref().map_or(Class::Unknown, |reading| reading.class);
    let set =
        |names: BTreeSet<String>| Datum::set(names.into_iter().map(|name| Datum::Text(Cow::Owned(name))));
    let known = reading.map(|reading| {
        [
            (Cow::Borrowed("functions"), set(reading.functions)),
            (Cow::Borrowed("tables"), set(reading.tables)),
        ]
    });
    let always = [
        (Cow::Borrowed("class"), Datum::text(class.as_str())),
        (Cow::Borrowed("text"), Datum::Text(text)),
    ];
    Datum::record(always.into_iter().chain(known.into_iter().flatten()))
}

/// Comments that MySQL and MariaDB run, characters that are space to one database and a letter to the next, ends of a
/// line that end a comment for some only, and names with escapes in them (PostgreSQL's `U&"..."`).
fn is_read_in_two_ways(text: &str) -> bool {
    let odd = |c: char| (c.is_control() && !"\t\n\r".contains(c)) || (c.is_whitespace() && !c.is_ascii());
    let lone_return = text.replace("\r\n", "\n").contains('\r');
    let run = ["/*!", "/*M!", "U&\"", "u&\""]
        .iter()
        .any(|mark| text.contains(mark));
    run || lone_return || text.chars().any(odd)
}

/// Words that begin a statement of SQL Server, which needs nothing between two: where our reader would take one of
/// them for the name of something, two statements would pass for one. They stand in no statement but at its head.
const HEADS: [&str; 36] = [
    "ALTER",
    "BACKUP",
    "BEGIN",
    "BREAK",
    "BULK",
    "CHECKPOINT",
    "COMMIT",
    "CONTINUE",
    "CREATE",
    "DBCC",
    "DEALLOCATE",
    "DECLARE",
    "DELETE",
    "DENY",
    "DROP",
    "DUMP",
    "EXEC",
    "EXECUTE",
    "GOTO",
    "GRANT",
    "INSERT",
    "KILL",
    "LOAD",
    "MERGE",
    "PRINT",
    "RAISERROR",
    "RECONFIGURE",
    "RESTORE",
    "RETURN",
    "REVERT",
    "REVOKE",
    "ROLLBACK",
    "SHUTDOWN",
    "TRUNCATE",
    "UPDATE",
    "WAITFOR",
];

fn has_second_head(tokens: &[TokenWithSpan]) -> bool {
    let words = tokens.iter().filter_map(|token| {
        let Token::Word(word) = &token.token else {
            return None;
        };
        let is_plain = word.quote_style.is_none();
        is_plain.then(|| word.value.to_ascii_uppercase())
    });
    words.skip(1).any(|word| HEADS.contains(&word.as_str()))
}

/// What a statement's tree holds. Whatever is not known to be harmless breaks the walk.
struct Walk {
    dialect: Dialect,
    does: Option<Class>,
    tables: BTreeSet<String>,
    functions: BTreeSet<String>,
}

const STOP: ControlFlow<()> = ControlFlow::Break(());
const ON: ControlFlow<()> = ControlFlow::Continue(());

impl Walk {
    /// A statement that changes something; one that does two kinds of change has no class.
    fn does(&mut self, class: Class) -> ControlFlow<()> {
        match self.does.replace(class) {
            Some(before) if before != class => STOP,
            Some(_) | None => ON,
        }
    }

    /// The parts of a name, in one spelling for names that are the same to the database; none where that is not
    /// certain.
    fn names(&self, name: &ObjectName) -> Option<Vec<String>> {
        // Their collations decide which letters beyond ASCII, and which spaces, are the same.
        let collates = matches!(self.dialect, Dialect::MsSql | Dialect::MySql);
        let folded = |part: &ObjectNamePart| {
            let ident = part.as_ident()?;
            let is_certain = ident.value.is_ascii() && !ident.value.ends_with(' ');
            if (collates && !is_certain) || ident.value.len() > NAME_BYTES_MAX {
                return None;
            }
            let plain = ident
                .value
                .chars()
                .all(|c| c.is_alphanumeric() || "_$".contains(c));
            let lower = ident.value.to_ascii_lowercase();
            let own =
                self.dialect == Dialect::PostgreSql && ident.quote_style.is_some() && lower != ident.value;
            Some(if plain && !own {
                lower
            } else {
                format!("\"{}\"", ident.value)
            })
        };
        name.0.iter().map(folded).collect()
    }

    fn calls(&mut self, name: &ObjectName) -> ControlFlow<()> {
        let Some(parts) = self.names(name) else {
            return STOP;
        };
        self.functions.extend(spellings(&parts));
        ON
    }

    fn concerns(&mut self, table: &ObjectName) -> ControlFlow<()> {
        let Some(parts) = self.names(table) else {
            return STOP;
        };
        // To PostgreSQL `ONLY secrets` is the table `secrets`, to our reader the table `only` of that alias.
        let is_word = table.0.last().and_then(ObjectNamePart::as_ident);
        let is_word = is_word.is_some_and(|ident| ident.quote_style.is_none());
        if is_word && parts.last().is_some_and(|name| name == "only") {
            return STOP;
        }
        self.tables.extend(spellings(&parts));
        ON
    }
}

impl Visitor for Walk {
    type Break = ();

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "there are a hundred kinds; what is not named here is unknown"
    )]
    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<()> {
        match statement {
            Statement::Query(_) => ON,
            Statement::Insert(insert) if only_inserts(insert) => self.does(Class::Insert),
            Statement::Update(update) if update.or.is_none() && update.output.is_none() => {
                self.does(Class::Update)
            }
            Statement::Delete(delete) if delete.output.is_none() => self.does(Class::Delete),
            Statement::Merge(merge) if merge.output.is_none() => self.does(Class::Merge),
            Statement::CreateTable(table) if names_no_other(table) => self.does(Class::Ddl),
            Statement::Drop { names, .. } => {
                names.iter().try_for_each(|name| self.concerns(name))?;
                self.does(Class::Ddl)
            }
            Statement::AlterTable(_)
            | Statement::CreateIndex(_)
            | Statement::CreateView(_)
            | Statement::Truncate(_) => self.does(Class::Ddl),
            _ => STOP,
        }
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let plain = query.locks.is_empty()
            && query.for_clause.is_none()
            && query.settings.is_none()
            && query.format_clause.is_none()
            && query.pipe_operators.is_empty();
        if plain && is_seen(&query.body) { ON } else { STOP }
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        let plain =
            select.into.is_none() && select.optimizer_hints.is_empty() && select.lateral_views.is_empty();
        if plain { ON } else { STOP }
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        self.concerns(relation)
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what else a table can be is unknown"
    )]
    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table {
                name, args: Some(_), ..
            }
            | TableFactor::Function { name, .. } => self.calls(name),
            TableFactor::Table {
                with_hints,
                json_path: None,
                ..
            } if with_hints.is_empty() => ON,
            TableFactor::Derived { .. } | TableFactor::NestedJoin { .. } => ON,
            _ => STOP,
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "other expressions only compute, and their parts are visited"
    )]
    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) => self.calls(&function.name),
            Expr::BinaryOp {
                op: BinaryOperator::Assignment,
                ..
            } => STOP,
            _ => ON,
        }
    }
}

/// All that a rule may call it: `public.notes` is `notes`, too, so a rule that forbids one is not led around by the
/// other.
fn spellings(parts: &[String]) -> impl Iterator<Item = String> {
    (0..parts.len()).filter_map(|from| Some(parts.get(from..)?.join(".")))
}

/// Whether it adds rows, and changes none that are there: not `REPLACE`, `INSERT OR REPLACE`, `ON CONFLICT DO UPDATE`.
fn only_inserts(insert: &Insert) -> bool {
    let ignores = match &insert.on {
        None => true,
        Some(OnInsert::OnConflict(conflict)) => matches!(conflict.action, OnConflictAction::DoNothing),
        Some(_) => false,
    };
    ignores && insert.or.is_none() && insert.output.is_none() && !insert.replace_into && !insert.overwrite
}

/// Whether the visitor is told of every table it takes something of.
fn names_no_other(table: &CreateTable) -> bool {
    table.like.is_none() && table.clone.is_none() && table.inherits.is_none() && table.partition_of.is_none()
}

/// Whether the visitor is told of everything in it: of `TABLE name` it is not.
fn is_seen(body: &SetExpr) -> bool {
    match body {
        SetExpr::Table(_) => false,
        SetExpr::SetOperation { left, right, .. } => is_seen(left) && is_seen(right),
        SetExpr::Delete(_)
        | SetExpr::Insert(_)
        | SetExpr::Merge(_)
        | SetExpr::Query(_)
        | SetExpr::Select(_)
        | SetExpr::Update(_)
        | SetExpr::Values(_) => true,
    }
}
