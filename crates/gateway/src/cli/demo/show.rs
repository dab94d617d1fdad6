//! What the demo prints: for people, with colour on a terminal, or one object a scene for machines.

use std::{cell::Cell, io::IsTerminal};

use wire::json::{ObjectWriter, object};

use super::{
    super::say,
    house::House,
    scene::{Call, Played, Scene},
};

/// The width texts are broken at.
const WIDTH: usize = 96;

/// See the module.
#[derive(Debug)]
pub(super) struct Show {
    json: bool,
    colour: bool,
    number: Cell<u32>,
    title: Cell<&'static str>,
}

#[derive(Clone, Copy)]
enum Ink {
    Bold,
    Dim,
    Green,
    Red,
}

impl Show {
    pub(super) fn new(json: bool) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colour = !json && !plain && std::io::stdout().is_terminal();
        Self {
            json,
            colour,
            number: Cell::new(0),
            title: Cell::new(""),
        }
    }

    /// Before the first scene.
    pub(super) fn opening(&self) {
        self.people(|| {
            say(&self.ink(Ink::Bold, "A hospital behind Sallyport"));
            self.paragraph(
                "",
                "Four MCP servers (charts in SQLite, a laboratory, a mailer, a reader of web pages) and \
                 the agents of two doctors. All are separate programs on the official SDK; between them \
                 stands this gateway.",
            );
        });
    }

    pub(super) fn scene(&self, scene: &Scene) {
        self.heading(scene.title, scene.meaning);
    }

    /// Begins a scene.
    pub(super) fn heading(&self, title: &'static str, meaning: &str) {
        self.number.set(self.number.get() + 1);
        self.title.set(title);
        self.people(|| {
            say("");
            say(&self.ink(Ink::Bold, &format!("{}. {title}", self.number.get())));
            self.paragraph("   ", meaning);
        });
    }

    /// One call and what became of it.
    pub(super) fn call(&self, call: &Call) {
        self.people(|| {
            let arguments = shortened(&call.arguments);
            say(&format!(
                "   {} for {} -> {} {arguments}",
                call.agent, call.user, call.tool
            ));
            let verdict = match call.verdict.as_str() {
                "allowed" => self.ink(Ink::Green, "allowed"),
                other => self.ink(Ink::Red, other),
            };
            let Some(entry) = &call.entry else {
                return say(&format!("      {verdict}, and not in the ledger"));
            };
            let place = match call.intent {
                Some(intent) => format!("ledger {intent} (intent), {} (outcome)", entry.index),
                None => format!("ledger {}", entry.index),
            };
            let place = self.ink(Ink::Dim, &place);
            if call.verdict == "allowed" {
                return say(&format!("      {verdict}  {place}"));
            }
            let http = call
                .http
                .map(|status| format!("HTTP {status}, "))
                .unwrap_or_default();
            say(&format!(
                "      {verdict}  {http}{} at `{}`  {place}",
                entry.code, entry.stage
            ));
            self.paragraph("      ", &format!("reason: {}", entry.reason));
        });
    }

    /// What an agent made of its answers.
    pub(super) fn summary(&self, summary: &str) {
        self.people(|| self.paragraph("      ", &format!("the agent's summary: {summary}")));
    }

    /// The end of a scene.
    pub(super) fn played(&self, played: &Played) {
        if self.json {
            let line = object(|out| self.write(played, out));
            return say(&String::from_utf8_lossy(&line));
        }
        if let Some(found) = &played.found {
            self.paragraph("      ", found);
        }
        if let Some(differs) = &played.differs {
            say(&format!(
                "   {}: {}",
                self.ink(Ink::Red, "NOT AS DESCRIBED"),
                differs.trim_end()
            ));
        }
    }

    fn write(&self, played: &Played, out: &mut ObjectWriter<'_>) {
        out.string("scene", played.name);
        out.string("title", self.title.get());
        out.boolean("as_described", played.differs.is_none());
        if let Some(differs) = &played.differs {
            out.string("differs", differs);
        }
        for (name, fact) in &played.facts {
            out.string(name, fact);
        }
        out.array("calls", |list| {
            for call in &played.calls {
                list.object(|out| write_call(call, out));
            }
        });
    }

    /// After the last scene.
    pub(super) fn closing(&self, differing: &[&str]) {
        self.people(|| {
            say("");
            say(&match differing {
                [] => self.ink(
                    Ink::Green,
                    &format!("All {} scenes ended as described.", self.number.get()),
                ),
                names => self.ink(Ink::Red, &format!("Not as described: {}.", names.join(", "))),
            });
        });
    }

    /// What can be done with a hospital that was kept.
    pub(super) fn kept(&self, house: &House, token: &str) {
        let (mcp, directory) = (house.endpoints().mcp, house.directory().display());
        let sallyport = format!("sallyport --config {}", house.configuration().display());
        if self.json {
            let line = object(|out| {
                out.string("event", "kept");
                out.string("mcp", &mcp);
                out.string("token", token);
                out.string("directory", &directory.to_string());
                out.string("config", &house.configuration().display().to_string());
            });
            return say(&String::from_utf8_lossy(&line));
        }
        say("");
        say(&self.ink(Ink::Bold, "The hospital stays open"));
        say(&format!("   endpoint   {mcp}"));
        say(&format!("   token      {token}"));
        say("              (Alice's agent, for treatment; good for ten minutes)");
        say(&format!(
            "   another    {sallyport} token --agent scribe --purpose treatment"
        ));
        say(&format!("   console    {sallyport} console"));
        say(&format!("   look       {sallyport} ledger tail"));
        say(&format!("   the update {sallyport} server diff lab"));
        say(&format!("   files      {directory}"));
        say("   stop       Ctrl-C; everything is removed then");
    }

    fn people(&self, show: impl FnOnce()) {
        if !self.json {
            show();
        }
    }

    /// A text, broken into lines.
    fn paragraph(&self, indent: &str, text: &str) {
        let mut line = String::new();
        for word in text.split_whitespace() {
            if !line.is_empty() && indent.len() + line.chars().count() + 1 + word.chars().count() > WIDTH {
                say(&format!("{indent}{line}"));
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        say(&format!("{indent}{line}"));
    }

    fn ink(&self, ink: Ink, text: &str) -> String {
        let code = match ink {
            Ink::Bold => "1",
            Ink::Dim => "2",
            Ink::Green => "32",
            Ink::Red => "31",
        };
        if self.colour {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

fn write_call(call: &Call, out: &mut ObjectWriter<'_>) {
    out.string("agent", &call.agent);
    out.string("user", &call.user);
    out.string("tool", &call.tool);
    out.json("arguments", call.arguments.to_string().as_bytes());
    out.string("verdict", &call.verdict);
    if let Some(status) = call.http {
        out.integer("http", status);
    }
    out.string("told", &call.text);
    if let Some(intent) = call.intent {
        out.integer("intent", intent);
    }
    if let Some(entry) = &call.entry {
        out.integer("index", entry.index);
        out.string("code", &entry.code);
        if !entry.stage.is_empty() {
            out.string("stage", &entry.stage);
            out.string("reason", &entry.reason);
        }
    }
}

/// Arguments, with long texts cut.
fn shortened(arguments: &serde_json::Value) -> String {
    let mut arguments = arguments.clone();
    for value in arguments
        .as_object_mut()
        .into_iter()
        .flat_map(serde_json::Map::values_mut)
    {
        if let Some(text) = value.as_str().filter(|text| text.chars().count() > 60) {
            let cut: String = text.chars().take(40).collect();
            *value = serde_json::Value::String(format!("{cut}..."));
        }
    }
    arguments.to_string()
}
