//! Rules in view of the tools there are.

use wire::{
    bounds::REQUEST,
    json::{Document, Keys},
};

use super::scene::rules;
use crate::rules::{ArgumentType, Dialect, Known};

fn known() -> Known {
    let schema = br#"{"type": "object", "properties": {
        "patient": {"type": "string"}, "count": {"type": "integer"}, "urgent": {"type": "boolean"},
        "any": {}, "amount": {"type": "number"}, "list": {"type": "array", "items": {"type": "string"}}, "url": {"type": "string", "format": "uri"},
        "sql": {"type": "string"}
    }, "required": ["patient"]}"#;
    let schema = Document::parse(schema.to_vec(), Keys::Exact, &REQUEST).unwrap();
    let mut known = Known::default();
    let mut arguments = ArgumentType::of_schema(schema.root());
    arguments.say(&["sql".to_owned()], ArgumentType::Sql(Dialect::Any));
    known.tool("charts", "read", arguments);
    known.tool("charts", "open", ArgumentType::Any);
    known.server("new");
    known
}

#[test]
fn rules_of_tools_and_arguments_there_are_fit() {
    for text in [
        "permit(principal, action, resource);",
        r#"permit(principal, action, resource == Tool::"charts__read") when { context.args.patient == "p1" };"#,
        r#"permit(principal, action, resource == Tool::"charts__read") when { context.args.count > 3 };"#,
        r#"permit(principal, action, resource == Tool::"charts__read") when { context.args.any == 3 };"#,
        r#"permit(principal, action, resource == Tool::"charts__read") when { context.args.sql.class == "select" };"#,
        r#"permit(principal, action, resource == Tool::"charts__open") when { context.args.whatever == 3 };"#,
        r#"permit(principal, action, resource == Tool::"new__anything") when { context.args.x == 3 };"#,
        r#"permit(principal, action, resource in Server::"new");"#,
        // Of any tool: some may take it.
        r#"forbid(principal, action, resource) when { context.args has tenant };"#,
    ] {
        assert_eq!(rules(text).fits(&known()), Ok(()), "{text}");
    }
}

#[test]
fn what_a_rule_means_and_is_not_there_is_named_with_its_place_and_a_remedy() {
    let tool = |when: &str| {
        format!(
            "// a comment\npermit(principal, action, resource == Tool::\"charts__read\")\nwhen {{ {when} }};"
        )
    };
    for (text, line, message, remedy) in [
        (
            "permit(principal, action, resource == Tool::\"charts__reed\");".to_owned(),
            1,
            "the server `charts` has no tool `reed`",
            "did you mean `read`?",
        ),
        (
            "permit(principal, action,\n  resource == Tool::\"chart__read\");".to_owned(),
            2,
            "there is no server `chart`",
            "did you mean `charts`?",
        ),
        (
            "forbid(principal, action, resource in Server::\"payments\");".to_owned(),
            1,
            "there is no server `payments`",
            "add it under `mcpServers`",
        ),
        (
            "forbid(principal, action, resource) when { resource == Tool::\"charts__write\" };".to_owned(),
            1,
            "the server `charts` has no tool `write`",
            "see `sallyport server show`",
        ),
        (
            tool("context.args.pateint == \"p1\""),
            3,
            "`charts__read` takes no argument `pateint`",
            "did you mean `patient`?",
        ),
        (
            tool("context.args has ward"),
            3,
            "`charts__read` takes no argument `ward`",
            "it takes amount, any, count, list, patient, sql, urgent, url",
        ),
        (
            tool("context.args.patient == 7"),
            3,
            "the argument `patient` of `charts__read` is a string by its schema",
            "compare it with a text in quotation marks",
        ),
        (
            tool("1 == 1 && context.args.count == \"7\""),
            3,
            "the argument `count` of `charts__read` is an integer by its schema",
            "compare it with a number",
        ),
        (
            tool("context.args.amount < 7"),
            3,
            "the argument `amount` of `charts__read` is a number by its schema",
            "compare it with `decimal(\"1.5\")`, with `.lessThan()` and its kin",
        ),
        (
            tool("context.args.url like \"https://good.org/*\""),
            3,
            "the argument `url` of `charts__read` is a record here",
            "read one of its parts: host, path, port, scheme, text",
        ),
        (
            tool("context.args.sql == \"select 1\""),
            3,
            "the argument `sql` of `charts__read` is a record here",
            "read one of its parts: class, functions, tables, text",
        ),
        (
            tool("context.args.url.hots == \"good.org\""),
            3,
            "the argument `url` of `charts__read` has no `hots`",
            "did you mean `host`?",
        ),
        (
            tool("context.args.sql.class == \"selct\""),
            3,
            "`selct` is never the case here",
            "did you mean `select`?",
        ),
    ] {
        let errors = rules(&text).fits(&known()).expect_err(&text);
        let [error] = errors.diagnostics() else {
            panic!("{text}: {errors}");
        };
        assert_eq!(
            (error.line, error.message.as_str(), error.remedy.as_str()),
            (line, message, remedy),
            "{text}"
        );
    }
}
