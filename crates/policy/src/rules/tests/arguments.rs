//! What rules read of arguments that are more than texts: SQL, URLs and file paths.

use std::sync::Arc;

use wire::{
    bounds::REQUEST,
    json::{Document, Keys},
};

use super::scene::{Scene, rules, tool};
use crate::{
    Resource, ToolFacts,
    rules::{ArgumentType, Dialect, datum::Datum, file_path, sql, uri},
};

/// `class tables...`, or `class` alone where the tables are not known.
fn read(text: &str, dialect: Dialect) -> String {
    let record = sql::record(text.into(), dialect);
    let Some(Datum::Text(class)) = record.field("class") else {
        panic!("{record}");
    };
    match record.field("tables") {
        Some(Datum::Set(tables)) => {
            let tables = tables.iter().map(|table| {
                let Datum::Text(name) = table else {
                    panic!("{table}")
                };
                name.as_ref()
            });
            std::iter::once(class.as_ref())
                .chain(tables)
                .collect::<Vec<_>>()
                .join(" ")
        }
        _ => class.to_string(),
    }
}

#[test]
fn statements_are_told_apart_by_what_they_do() {
    let mut wrong = Vec::new();
    for (text, expected) in [
        ("SELECT * FROM notes", "select notes"),
        (
            "select n.id, count(*) from Notes n join people p on p.id = n.who group by n.id",
            "select notes people",
        ),
        ("SELECT * FROM notes;", "select notes"),
        ("SELECT 1 -- ; DROP TABLE notes\n", "select"),
        ("SELECT id /* from secrets */ FROM notes", "select notes"),
        (
            "SELECT * FROM notes WHERE text = '; DROP TABLE notes; --'",
            "select notes",
        ),
        (
            "SELECT * FROM notes WHERE id IN (SELECT id FROM secrets)",
            "select notes secrets",
        ),
        (
            "SELECT (SELECT max(id) FROM secrets) FROM notes",
            "select notes secrets",
        ),
        ("SELECT 1 FROM a UNION SELECT 2 FROM b", "select a b"),
        ("SELECT * FROM main.notes", "select main.notes notes"),
        (
            "INSERT INTO log (who) SELECT name FROM people",
            "insert log people",
        ),
        (
            "UPDATE notes SET text = (SELECT s FROM secrets)",
            "update notes secrets",
        ),
        ("DELETE FROM notes WHERE id = 1", "delete notes"),
        // It was `ddl` of no table: a rule about `secrets` was silent.
        ("DROP TABLE secrets", "ddl secrets"),
        ("CREATE TABLE x (id int)", "ddl x"),
        ("SELECT pg_sleep(10)", "call"),
        ("SELECT load_extension('x') FROM notes", "call notes"),
        ("SELECT evil.lower(x) FROM notes", "call notes"),
    ] {
        let found = read(text, Dialect::Any);
        if found != expected {
            wrong.push((text, found));
        }
    }
    assert_eq!(wrong, []);
}

#[test]
fn what_nobody_can_be_sure_of_is_unknown_and_has_no_tables() {
    let mut wrong = Vec::new();
    for text in [
        "",
        "no sql",
        "SELECT",
        "SELECT 1; DELETE FROM notes",
        "SELECT 1;DROP TABLE notes--",
        // Stacked without a semicolon, as SQL Server takes it; an alias to others.
        "SELECT 1 DELETE FROM notes",
        // Run by MySQL, skipped by others.
        "SELECT 1 /*! ; DELETE FROM notes */",
        "SELECT /*!50000 1 INTO OUTFILE '/tmp/x' */ FROM notes",
        "SELECT 1 /*M! + 1 */",
        // Not a comment to MySQL: it subtracts, and goes on to the semicolon.
        "SELECT 1--1; DELETE FROM notes",
        // Ended for MySQL, still open for PostgreSQL.
        "SELECT 1 /* /* */ ; DELETE FROM notes -- */",
        // A quotation mark for one, the end of the text for the other.
        "SELECT '\\'; DELETE FROM notes; -- '",
        // One table to PostgreSQL, another one to SQLite.
        "SELECT * FROM \"Notes\"",
        "SELECT $$ ; $$; DELETE FROM notes",
        // Tables by other words.
        "TABLE secrets",
        "SELECT * INTO copied FROM notes",
        "SELECT * FROM notes FOR UPDATE",
        "SELECT * FROM notes UNION TABLE secrets",
        "WITH a AS (DELETE FROM notes RETURNING *), b AS (INSERT INTO log VALUES (1)) SELECT * FROM a",
        "EXPLAIN ANALYZE DELETE FROM notes",
        "EXECUTE stored",
        "CALL stored()",
        "COPY notes TO PROGRAM 'sh'",
        "ATTACH DATABASE '/etc/x' AS y",
        "PRAGMA writable_schema = 1",
        "SET ROLE postgres",
        "GRANT ALL ON notes TO anyone",
        "DO $$ BEGIN DELETE FROM notes; END $$",
        // Space to our reader, a letter to a database.
        "SELECT 1 FROM\u{a0}notes",
        "SELECT 1\u{0}",
        "SELECT\u{b}1",
    ] {
        let found = read(text, Dialect::Any);
        if found != "unknown" {
            wrong.push((text, found));
        }
    }
    assert_eq!(wrong, []);
    let long = format!("SELECT {}1", "1,".repeat(100_000));
    assert_eq!(read(&long, Dialect::Any), "unknown");
}

#[test]
fn a_change_in_a_common_table_expression_is_a_change() {
    let text = "WITH gone AS (DELETE FROM notes RETURNING *) SELECT * FROM gone";
    assert_eq!(read(text, Dialect::PostgreSql), "delete gone notes");
    assert_ne!(read(text, Dialect::Any).split(' ').next(), Some("select"));
}

#[test]
fn names_are_as_the_database_takes_them() {
    let text = "SELECT * FROM \"Notes\", \"notes\", \"a.b\"";
    assert_eq!(read(text, Dialect::PostgreSql), "select \"Notes\" \"a.b\" notes");
    assert_eq!(read(text, Dialect::Sqlite), "select \"a.b\" notes");
    assert_eq!(read("SELECT * FROM `Notes`", Dialect::MySql), "select notes");
    assert_eq!(read("SELECT * FROM [Notes]", Dialect::MsSql), "select notes");
}

/// Statements our reader and the database itself take for different ones, or that do more than their first word says.
#[test]
fn nobody_hides_a_table_or_a_second_statement_from_one_database() {
    let long = format!("SELECT * FROM {}", "a".repeat(64));
    let mut wrong = Vec::new();
    for (text, dialect, expected) in [
        // One statement to our reader, with an alias; two to SQL Server.
        ("SELECT 1 DELETE FROM notes", Dialect::MsSql, "unknown"),
        ("SELECT * FROM notes SHUTDOWN", Dialect::MsSql, "unknown"),
        ("SELECT * FROM notes AS n ROLLBACK", Dialect::MsSql, "unknown"),
        ("SELECT 1 x REVERT", Dialect::MsSql, "unknown"),
        ("SELECT [delete] FROM notes", Dialect::MsSql, "select notes"),
        // The table `only`, of an alias, to our reader.
        ("SELECT * FROM ONLY secrets", Dialect::PostgreSql, "unknown"),
        ("DELETE FROM ONLY secrets", Dialect::PostgreSql, "unknown"),
        ("UPDATE ONLY secrets SET a = 1", Dialect::PostgreSql, "unknown"),
        ("SELECT * FROM \"only\"", Dialect::PostgreSql, "select only"),
        // A comment ends there for PostgreSQL and SQL Server, and goes on for others.
        ("SELECT 1 -- \r FROM secrets", Dialect::MsSql, "unknown"),
        ("SELECT 1 --\r\n FROM notes", Dialect::MsSql, "select notes"),
        // Cut after 63 bytes.
        (&long, Dialect::PostgreSql, "unknown"),
        ("SELECT U&\"pg!005fsleep\"(1)", Dialect::PostgreSql, "unknown"),
        // The same table to a collation that knows no width, and no spaces at the end.
        ("SELECT * FROM \u{ff53}ecrets", Dialect::MsSql, "unknown"),
        ("SELECT * FROM [secrets ]", Dialect::MsSql, "unknown"),
        // Another table to PostgreSQL: it folds ASCII alone.
        (
            "SELECT * FROM \u{212a}eys",
            Dialect::PostgreSql,
            "select \u{212a}eys",
        ),
        // They change rows that are there.
        ("REPLACE INTO notes VALUES (1)", Dialect::MySql, "unknown"),
        (
            "INSERT OR REPLACE INTO notes VALUES (1)",
            Dialect::Sqlite,
            "unknown",
        ),
        (
            "INSERT INTO notes VALUES (1) ON CONFLICT (id) DO UPDATE SET a = 2",
            Dialect::Sqlite,
            "unknown",
        ),
        (
            "INSERT INTO notes VALUES (1) ON DUPLICATE KEY UPDATE a = 2",
            Dialect::MySql,
            "unknown",
        ),
        (
            "INSERT INTO notes VALUES (1) ON CONFLICT DO NOTHING",
            Dialect::Sqlite,
            "insert notes",
        ),
        // Tables that were not told of.
        ("CREATE TABLE x (LIKE secrets)", Dialect::PostgreSql, "unknown"),
        (
            "CREATE TABLE x () INHERITS (secrets)",
            Dialect::PostgreSql,
            "unknown",
        ),
        (
            "DELETE FROM notes OUTPUT deleted.* INTO secrets",
            Dialect::MsSql,
            "unknown",
        ),
        // Every way to say it.
        (
            "SELECT * FROM db.hr.pay",
            Dialect::MsSql,
            "select db.hr.pay hr.pay pay",
        ),
    ] {
        let found = read(text, dialect);
        if found != expected {
            wrong.push((text, found));
        }
    }
    assert_eq!(wrong, []);
    let called = sql::record("SELECT pg_catalog.pg_sleep(1)".into(), Dialect::PostgreSql);
    let expected = ["pg_catalog.pg_sleep", "pg_sleep"].map(Datum::text);
    assert_eq!(called.field("functions"), Some(&Datum::set(expected)));
}

/// A tree as deep as the text is long, walked and dropped without an end of the stack.
#[test]
fn a_deep_statement_takes_no_more_room_than_there_is() {
    let deep = format!("SELECT 1{}", "+1".repeat(3_000));
    assert_eq!(read(&deep, Dialect::Sqlite), "select");
    let nested = format!("SELECT {}1{}", "(".repeat(3_000), ")".repeat(3_000));
    assert_eq!(read(&nested, Dialect::Sqlite), "unknown");
    let nots = format!("SELECT {} 1", "NOT ".repeat(3_000));
    assert_eq!(read(&nots, Dialect::Sqlite), "unknown");
}

#[test]
fn the_host_is_where_a_request_would_go_or_is_not_known() {
    for (text, host, port) in [
        ("https://Example.com/x", Some("example.com"), Some(443)),
        ("http://example.com:8080", Some("example.com"), Some(8080)),
        ("https://example.com:/", Some("example.com"), Some(443)),
        ("https://10.0.0.7/", Some("10.0.0.7"), Some(443)),
        ("https://good.org@evil.org/", None, None),
        ("https://good.org:443@evil.org/", None, None),
        ("https://good.org\\@evil.org/", None, None),
        ("https://evil.org%2f.good.org/", None, None),
        ("https:/evil.org", None, None),
        ("https:evil.org", None, None),
        ("https:///evil.org", None, None),
        ("//evil.org", None, None),
        ("https://g\u{43e}od.org/", None, None),
        ("https://good\u{3002}org/", None, None),
        ("https://xn--gd-fmca.org/", Some("xn--gd-fmca.org"), Some(443)),
        ("http://0x7f.1/", None, None),
        ("http://2130706433/", None, None),
        ("http://127.1/", None, None),
        ("http://0177.0.0.1/", None, None),
        ("http://127.0.0.1./", Some("127.0.0.1"), Some(80)),
        ("http://example.com../", None, None),
        ("http://example.com:99999/", None, None),
        ("http://example.com:+80/", None, None),
        ("http://[::ffff:7f00:1]/", Some("[::ffff:127.0.0.1]"), Some(80)),
        ("file:///etc/passwd", Some(""), None),
    ] {
        let record = uri::record(text.into());
        assert_eq!(record.field("host"), host.map(Datum::text).as_ref(), "{text}");
        assert_eq!(record.field("port"), port.map(Datum::Long).as_ref(), "{text}");
        assert_eq!(record.field("text"), Some(&Datum::text(text)));
    }
}

/// To RFC 3986 and browsers `..` takes the empty segment away that servers drop; Java servers cut what follows `;`.
#[test]
fn a_path_that_clients_and_servers_shorten_differently_is_not_known() {
    for (text, path) in [
        ("https://good.org/public/x", Some("/public/x")),
        ("https://good.org/a/../public//x", Some("/public/x")),
        ("https://good.org/a;b=1/x", Some("/a;b=1/x")),
        ("https://good.org/admin//../public/x", None),
        ("https://good.org/admin/%2e/../x", Some("/x")),
        ("https://good.org/public/..;/admin", None),
        ("https://good.org/public/.;a/admin", None),
        ("https://good.org/public/%2e%2e%3b/admin", None),
    ] {
        let record = uri::record(text.into());
        assert_eq!(record.field("path"), path.map(Datum::text).as_ref(), "{text}");
    }
}

#[test]
fn a_file_path_has_one_form_or_none() {
    for (text, canonical) in [
        ("/srv/a", Some("/srv/a")),
        ("/srv/./a//b/../c", Some("/srv/a/c")),
        ("/srv/../../etc/passwd", Some("/etc/passwd")),
        ("reports/a b.txt", Some("reports/a b.txt")),
        ("reports/../x", Some("x")),
        ("../x", None),
        ("a/../../x", None),
        ("/srv/%2e%2e/etc", None),
        ("/srv/..%2fetc", None),
        ("~/x", None),
        ("~root/x", None),
        ("$HOME/x", None),
        ("file:///etc/passwd", None),
        ("c:\\windows", None),
        ("C:secrets", None),
        ("..\\x", None),
        (" /etc/passwd", None),
        ("/etc/passwd\n", None),
        ("/etc/passwd\u{0}.txt", None),
        ("", None),
        ("/a/100%", Some("/a/100%")),
    ] {
        let record = file_path::record(text.into());
        let expected = canonical.map(Datum::text);
        assert_eq!(record.field("canonical"), expected.as_ref(), "{text}");
    }
}

fn taking(schema: &str, said: &[(&str, ArgumentType)]) -> Resource {
    let schema = Document::parse(schema.as_bytes().to_vec(), Keys::Exact, &REQUEST).unwrap();
    let mut arguments = ArgumentType::of_schema(schema.root());
    for (name, holds) in said {
        arguments.say(&[(*name).to_owned()], holds.clone());
    }
    Resource::Tool(ToolFacts {
        arguments: Some(Arc::new(arguments)),
        ..tool("charts", "read")
    })
}

#[test]
fn rules_read_the_parts_and_refuse_where_there_are_none() {
    let schema = r#"{"type": "object", "properties": {
        "url": {"type": "string", "format": "uri"}, "sql": {"type": "string"}, "path": {"type": "string"},
        "n": {"type": "number"}, "i": {"type": "integer"},
        "deep": {"type": "object", "properties": {"url": {"type": "string", "format": "uri"}}}}}"#;
    let said = [
        ("sql", ArgumentType::Sql(Dialect::Sqlite)),
        ("path", ArgumentType::Path),
    ];
    for (condition, args, verdict) in [
        (
            r#"context.args.url.host == "good.org""#,
            r#"{"url": "https://good.org/"}"#,
            "permit: r",
        ),
        (
            r#"context.args.url.host == "good.org""#,
            r#"{"url": "https://evil.org/"}"#,
            "no",
        ),
        (
            r#"context.args.url.host == "good.org""#,
            r#"{"url": "https://good.org@evil.org/"}"#,
            "error: r",
        ),
        (
            r#"context.args.url.host != "evil.org""#,
            r#"{"url": "https://good.org@evil.org/"}"#,
            "error: r",
        ),
        (
            r#"context.args.deep.url.host == "good.org""#,
            r#"{"deep": {"url": "https://good.org"}}"#,
            "permit: r",
        ),
        (
            r#"context.args.url has host"#,
            r#"{"url": "https:evil.org"}"#,
            "no",
        ),
        (
            r#"context.args.url.text like "https:*""#,
            r#"{"url": "https:evil.org"}"#,
            "permit: r",
        ),
        // It was false, so that a `forbid` of the kind was silent.
        (
            r#"context.args.url == "https://evil.org/""#,
            r#"{"url": "https://evil.org/"}"#,
            "error: r",
        ),
        (
            r#"["https://evil.org/"].contains(context.args.url)"#,
            r#"{"url": "https://evil.org/"}"#,
            "error: r",
        ),
        // Not a text at all: nothing to read parts of.
        (
            r#"context.args.url.host == "good.org""#,
            r#"{"url": 7}"#,
            "error: r",
        ),
        (
            r#"context.args.sql.class == "select""#,
            r#"{"sql": "select 1"}"#,
            "permit: r",
        ),
        (
            r#"context.args.sql.class == "select""#,
            r#"{"sql": "delete from notes"}"#,
            "no",
        ),
        (
            r#"["notes"].containsAll(context.args.sql.tables)"#,
            r#"{"sql": "select * from notes, secrets"}"#,
            "no",
        ),
        (
            r#"!context.args.sql.tables.contains("secrets")"#,
            r#"{"sql": "table secrets"}"#,
            "error: r",
        ),
        (
            r#"context.args.path.canonical like "/srv/*""#,
            r#"{"path": "/srv/../etc/passwd"}"#,
            "no",
        ),
        (
            r#"context.args.path.canonical like "/srv/*""#,
            r#"{"path": "/srv/x"}"#,
            "permit: r",
        ),
        (
            r#"context.args.n.lessThan(decimal("10.0"))"#,
            r#"{"n": 9}"#,
            "permit: r",
        ),
        (r#"context.args.i < 10"#, r#"{"i": 9.0}"#, "permit: r"),
    ] {
        let set = rules(&format!(
            "@id(\"r\") permit(principal, action, resource) when {{ {condition} }};"
        ));
        let scene = Scene::default().on(taking(schema, &said)).with_args(args);
        assert_eq!(scene.verdict(&set), verdict, "{condition} of {args}");
    }
}

/// Rules behind a gate are asked, too, where the value they are told apart by is a record of a text's parts.
#[test]
fn a_gate_leaves_no_rule_out_that_would_fail() {
    let schema = r#"{"type": "object", "properties": {"url": {"type": "string", "format": "uri"}}}"#;
    let forbids: String = (0..20)
        .map(|n| {
            format!(
                "@id(\"f{n}\") forbid(principal, action, resource) when {{ context.args.url == \"u{n}\" }};"
            )
        })
        .collect();
    let set = rules(&format!(
        "@id(\"r\") permit(principal, action, resource);{forbids}"
    ));
    let scene = Scene::default()
        .on(taking(schema, &[]))
        .with_args(r#"{"url": "u3"}"#);
    assert!(
        scene.verdict(&set).contains("error: f0"),
        "{}",
        scene.verdict(&set)
    );
    let scene = Scene::default().with_args(r#"{"url": "u3"}"#);
    assert_eq!(scene.verdict(&set), "forbid: f3");
}

#[test]
fn a_tool_of_which_no_schema_is_known_has_what_is_said_of_it() {
    let mut arguments = ArgumentType::Any;
    let names = ["filter".to_owned(), "url".to_owned()];
    arguments.say(&names, ArgumentType::Url);
    let resource = Resource::Tool(ToolFacts {
        arguments: Some(Arc::new(arguments)),
        ..tool("charts", "read")
    });
    let set = rules(
        r#"@id("r") permit(principal, action, resource) when {
            context.args.other == "x" && context.args.filter.url.host == "good.org" };"#,
    );
    let scene = Scene::default().on(resource);
    let scene = scene.with_args(r#"{"other": "x", "filter": {"url": "https://good.org/"}}"#);
    assert_eq!(scene.verdict(&set), "permit: r");
}
