//! `/api/v1/openapi.json`: the table of operations as an OpenAPI 3.1 description.

use std::collections::BTreeMap;

use wire::json::{ObjectWriter, object};

use crate::operate::console::{OPERATIONS, Operation, Parameter, Right, Takes, Verb};

/// What a kind of value is called in an error.
pub(super) const fn words(takes: Takes) -> &'static str {
    match takes {
        Takes::Text => "a text",
        Takes::Texts => "a list of texts",
        Takes::Number => "a number that is not negative",
    }
}

/// The description.
pub(super) fn document() -> Vec<u8> {
    let mut paths: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for one in OPERATIONS {
        paths.entry(one.path).or_default().push(one);
    }
    object(|out| {
        out.string("openapi", "3.1.0");
        out.object("info", |out| {
            out.string("title", "Sallyport: operators");
            out.string("version", "1");
            out.string(
                "description",
                "What `sallyport` does on the command line, for programs and the console. A token comes from \
                 `sallyport console --token`. Everything that changes something is in the ledger before it is done.",
            );
        });
        out.array("servers", |list| list.object(|out| out.string("url", "/api/v1")));
        out.array("security", |list| {
            list.object(|out| out.array("operator", |_| {}))
        });
        out.object("paths", |out| {
            for (path, operations) in paths {
                out.object(path, |out| operations.iter().for_each(|one| write(one, out)));
            }
        });
        out.object("components", components);
    })
}

fn components(out: &mut ObjectWriter<'_>) {
    out.object("securitySchemes", |out| {
        out.object("operator", |out| {
            out.string("type", "http");
            out.string("scheme", "bearer");
        });
    });
    out.object("schemas", |out| {
        out.object("Problem", |out| {
            out.string("description", "RFC 9457.");
            out.string("type", "object");
            out.object("properties", |out| {
                for name in ["type", "title", "detail"] {
                    out.object(name, |out| out.string("type", "string"));
                }
                out.object("status", |out| out.string("type", "integer"));
            });
        });
    });
}

fn write(one: &Operation, out: &mut ObjectWriter<'_>) {
    let verb = match one.verb {
        Verb::Get => "get",
        Verb::Post => "post",
    };
    out.object(verb, |out| {
        out.string("operationId", one.name);
        out.string("summary", one.about);
        let mut needs = format!("Needs the right to {}.", one.right.as_str());
        if one.needs_person {
            needs.push_str(" Only a person can do this.");
        }
        out.string("description", &needs);
        let of_head = |parameter: &&Parameter| one.verb == Verb::Get || one.has_in_path(parameter.name);
        out.array("parameters", |list| {
            for parameter in one.parameters.iter().filter(of_head) {
                let in_path = one.has_in_path(parameter.name);
                list.object(|out| {
                    out.string("name", parameter.name);
                    out.string("in", if in_path { "path" } else { "query" });
                    out.boolean("required", parameter.is_needed);
                    out.string("description", parameter.about);
                    out.object("schema", |out| schema(parameter.takes, out));
                });
            }
        });
        let in_body: Vec<_> = one.parameters.iter().filter(|one| !of_head(one)).collect();
        if !in_body.is_empty() {
            out.object("requestBody", |out| body(&in_body, out));
        }
        responses(one, out);
    });
}

fn body(parameters: &[&Parameter], out: &mut ObjectWriter<'_>) {
    out.boolean("required", parameters.iter().any(|one| one.is_needed));
    out.object("content", |out| {
        out.object("application/json", |out| {
            out.object("schema", |out| {
                out.string("type", "object");
                out.object("properties", |out| {
                    for one in parameters {
                        out.object(one.name, |out| {
                            out.string("description", one.about);
                            schema(one.takes, out);
                        });
                    }
                });
                out.array("required", |list| {
                    let needed = parameters.iter().filter(|one| one.is_needed);
                    needed.for_each(|one| list.string(one.name));
                });
                out.boolean("additionalProperties", false);
            });
        });
    });
}

fn responses(one: &Operation, out: &mut ObjectWriter<'_>) {
    let mut all = vec![
        ("400", "What was asked for makes no sense, or is not there."),
        ("401", "No token, or none that stands."),
        ("409", "It cannot be done as things are."),
        ("502", "Something it needs cannot be reached."),
    ];
    if one.right == Right::Operate {
        all.push(("403", "This token may not."));
    }
    out.object("responses", |out| {
        out.object("200", |out| {
            out.string("description", "Done.");
            out.object("content", |out| {
                out.object("application/json", |out| {
                    out.object("schema", |out| out.string("type", "object"));
                });
            });
        });
        for (status, about) in all {
            out.object(status, |out| {
                out.string("description", about);
                out.object("content", |out| {
                    out.object("application/problem+json", |out| {
                        out.object("schema", |out| out.string("$ref", "#/components/schemas/Problem"));
                    });
                });
            });
        }
    });
}

fn schema(takes: Takes, out: &mut ObjectWriter<'_>) {
    match takes {
        Takes::Text => out.string("type", "string"),
        Takes::Number => {
            out.string("type", "integer");
            out.integer("minimum", 0_i32);
        }
        Takes::Texts => {
            out.string("type", "array");
            out.object("items", |out| out.string("type", "string"));
        }
    }
}
