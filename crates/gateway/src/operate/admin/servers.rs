//! Servers: their life cycle.

use std::sync::Arc;

use policy::registry::{Change, Definition, Item, ItemKind, ItemState, Pin, Server, ServerState};
use upstream::sandbox::{Room, Target, compile};
use wire::json::{ArrayWriter, ObjectWriter, object};

use super::{
    Args, count,
    operators::{self, Agreed},
};
use crate::{
    config::{find, meant, reference::Lookup, servers::MeantServer},
    failure::Failure,
    listen::House,
    registry::{
        boxes,
        keeper::KeeperError,
        supply::{Artefact, Depth, sbom},
    },
};

/// Where servers added by command are kept.
pub(crate) const ADDED: &str = "added-servers";

impl From<KeeperError> for Failure {
    fn from(error: KeeperError) -> Self {
        match &error {
            KeeperError::Unreachable(..) => Self::unreachable(error.to_string()),
            KeeperError::Halted(..) => Self::refused(error.to_string()),
            KeeperError::Store(_) | KeeperError::Stored(..) => Self::other(error.to_string()),
            KeeperError::Unknown(_) => Self::missing(error.to_string()),
            KeeperError::Transition(_)
            | KeeperError::Unlearnable(..)
            | KeeperError::Unpinned(..)
            | KeeperError::Version(..) => Self::configuration(error.to_string()),
        }
    }
}

pub(super) fn list(house: &House) -> Vec<u8> {
    let view = house.engines.keeper.view();
    object(|out| {
        out.array("servers", |list| {
            for server in view.registry.servers() {
                list.object(|out| write_head(house, server, out));
            }
        });
    })
}

pub(super) fn show(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let server = house.engines.keeper.server(&args.needed("name")?)?;
    let (kept, in_force) = house.engines.keeper.versions(&server)?;
    Ok(object(|out| {
        write_head(house, &server, out);
        let engines = &house.engines;
        let meant = engines.keeper.meant(&server.name);
        let of_box = |say: fn(&MeantServer, &Room) -> Option<String>| {
            meant
                .as_ref()
                .and_then(|meant| say(meant, engines.upstreams.room()))
        };
        for (key, words) in [
            ("sandbox", of_box(boxes::words)),
            ("limits", of_box(boxes::limits)),
        ] {
            if let Some(words) = words {
                out.string(key, &words);
            }
        }
        if let Some(artefact) = engines.keeper.artefact(&server.name) {
            out.object("artefact", |out| write_artefact(&artefact, out));
        }
        out.array("items", |list| {
            for ((kind, name), item) in &server.items {
                list.object(|out| write_item(*kind, name, item, out));
            }
        });
        out.array("versions", |list| {
            kept.iter().for_each(|one| one.write(in_force, list))
        });
        if let Some(health) = house.engines.upstreams.health(&server.name) {
            out.object("health", |out| {
                out.integer("links", count(health.links));
                out.integer("failures", health.failures);
                if let Some(error) = &health.last_error {
                    out.string("last_error", error);
                }
                if !health.stderr.is_empty() {
                    out.string("stderr", &health.stderr);
                }
            });
        }
    }))
}

/// The bill of materials of what a server starts.
pub(super) fn sbom(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let server = house.engines.keeper.server(&args.needed("name")?)?;
    let artefact = house.engines.keeper.artefact(&server.name).ok_or_else(|| {
        Failure::configuration(format!(
            "nothing is pinned of `{}`: it is no process, or was never approved",
            server.name
        ))
    })?;
    Ok(sbom::cyclonedx(server.name.as_str(), &artefact))
}

/// The box of a server as another sandbox wants it.
pub(super) fn profile(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let engines = &house.engines;
    let server = engines.keeper.server(&args.needed("name")?)?;
    let word = args.needed("as")?;
    let target = Target::parse(&word).ok_or_else(|| {
        let known = Target::words();
        Failure::configuration(format!(
            "`{word}` is no sandbox there is a profile for; use one of: {known}"
        ))
    })?;
    let meant = engines.keeper.meant(&server.name);
    let planned = meant.and_then(|meant| boxes::profile(&meant, engines.upstreams.room()));
    let profile = planned.ok_or_else(|| {
        let why = "is no process, is not configured any more, or its sandbox is off";
        Failure::configuration(format!("`{}` {why}", server.name))
    })?;
    let profile = profile.map_err(Failure::configuration)?;
    Ok(object(|out| out.string("profile", &compile(&profile, target))))
}

pub(super) fn diff(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let server = house.engines.keeper.server(&args.needed("name")?)?;
    Ok(object(|out| {
        out.string("name", server.name.as_str());
        out.string("state", server.state.as_str());
        out.array("changes", |list| {
            for ((kind, name), item) in &server.items {
                if item.offered.is_some() || item.state == ItemState::Withdrawn {
                    list.object(|out| {
                        write_item(*kind, name, item, out);
                        write_definition("approved_definition", item.approved.as_ref(), out);
                        write_definition("offered_definition", item.offered.as_ref(), out);
                    });
                }
            }
        });
    }))
}

pub(super) async fn approve(house: &Arc<House>, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let (name, item) = (args.needed("name")?, args.text("item"));
    let keeper = &house.engines.keeper;
    let depth = match args.text("pin").as_deref() {
        Some("as-found") => Depth::AsFound,
        Some(_) | None => Depth::Whole,
    };
    let server = keeper.server(&name)?;
    if args.text("held").is_some() && !is_held(&server, item.as_deref()) {
        let what = item
            .as_ref()
            .map_or_else(|| name.clone(), |item| format!("{name} --tool {item}"));
        let why =
            format!("`{what}` is not held back, so nothing was released; see `sallyport server show {name}`");
        return Err(Failure::configuration(why));
    }
    let agreed_to = exactly(&server, item.as_deref(), depth);
    let what = match &item {
        None => format!("server approve {name}"),
        Some(item) => format!("server approve {name} --tool {item}"),
    };
    if let Agreed::Waits(answer) = operators::agree(house, args, &what, &agreed_to).await? {
        return Ok(answer);
    }
    let pinned = match item {
        None => keeper.pin(&name, depth).await?,
        Some(_) => None,
    };
    // What was agreed to is exact; the server may have offered something else while it was recorded and pinned.
    if house.operators.needed > 1 && exactly(&keeper.server(&name)?, item.as_deref(), depth) != agreed_to {
        let why = format!("`{name}` offers something else by now; everybody is asked anew");
        return Err(Failure::refused(why));
    }
    let mut changes = keeper.approve(&name, item.as_deref())?;
    keeper.clear_copies();
    // An approved server is looked at now, so that what it offers can be seen and is pinned.
    if item.is_none() && args.text("offline").is_none() {
        let server = keeper.server(&name)?;
        changes.extend(keeper.refresh(&server.name).await?);
    }
    Ok(object(|out| {
        if let Some(artefact) = pinned {
            out.object("artefact", |out| write_artefact(&artefact, out));
        }
        write_changes(&changes, out);
    }))
}

/// Whether a server, or one thing it offers, is held back; of a server, anything it offers counts.
fn is_held(server: &Server, item: Option<&str>) -> bool {
    let mut items = server
        .items
        .iter()
        .filter(|((_, name), _)| item.is_none_or(|item| item == name));
    let is_whole = item.is_none() && matches!(server.state, ServerState::Quarantined { .. });
    is_whole || items.any(|(_, item)| matches!(item.state, ItemState::Quarantined { .. }))
}

/// All that an approval is of: what the server would start and offers now.
fn exactly(server: &Server, item: Option<&str>, depth: Depth) -> String {
    let offered = |item: &Item| {
        item.offered
            .as_ref()
            .or(item.approved.as_ref())
            .map(Definition::pin)
    };
    let items = server
        .items
        .iter()
        .filter(|((_, name), _)| item.is_none_or(|item| item == name));
    let mut text = format!("{} {depth:?}", server.launch.pin);
    for ((kind, name), item) in items {
        text += &format!("\n{} {name} {:?}", kind.as_str(), offered(item));
    }
    Pin::of_bytes(text.as_bytes()).to_string()
}

/// Goes back to what was approved before; the server is looked at, and what is something else is held back.
pub(super) async fn roll_back(house: &Arc<House>, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let name = args.needed("name")?;
    let to = args.text("to").map(|text| text.parse::<u32>());
    let to = to
        .transpose()
        .map_err(|_| Failure::configuration("`--to` takes the number of a version; see `server show`"))?;
    let keeper = &house.engines.keeper;
    let (_, in_force) = keeper.versions(&keeper.server(&name)?)?;
    let what = format!("server rollback {name}");
    let exactly = format!("from {in_force:?} to {to:?}");
    if let Agreed::Waits(answer) = operators::agree(house, args, &what, &exactly).await? {
        return Ok(answer);
    }
    let (version, mut changes) = keeper.roll_back(&name, to)?;
    if args.text("offline").is_none() {
        changes.extend(keeper.refresh(&keeper.server(&name)?.name).await?);
    }
    Ok(object(|out| {
        out.integer("version", u64::from(version));
        write_changes(&changes, out);
    }))
}

/// The link with which a user connects a server that wants their consent.
pub(super) async fn connect(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let server = house.engines.keeper.server(&args.needed("name")?)?;
    let user = args.needed("user")?;
    let person = house.engines.people.user(&user);
    let tenant = person
        .and_then(|person| person.party.tenant.clone())
        .unwrap_or_default();
    let url = house.engines.outbound.connect(&server.name, &user, &tenant).await;
    let url = url.map_err(Failure::refused)?;
    Ok(object(|out| {
        out.string("name", server.name.as_str());
        out.string("user", &user);
        out.string("url", &url);
    }))
}

pub(super) fn quarantine(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let why = args.text("why").unwrap_or_else(|| "a person said so".to_owned());
    let change =
        house
            .engines
            .keeper
            .quarantine(&args.needed("name")?, args.text("item").as_deref(), &why)?;
    Ok(told(&[change]))
}

pub(super) fn retire(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let engines = &house.engines;
    let name = args.needed("name")?;
    let server = engines.keeper.server(&name)?;
    // It serves nothing from here on; then everything it was given goes. Done again, it goes on where it failed.
    engines.keeper.retire(&name)?;
    let forgotten = engines.outbound.forget(&server.name);
    let forgotten = forgotten.and_then(|()| house.store.delete(ADDED, server.name.as_str()));
    forgotten.map_err(|error| {
        Failure::other(format!(
            "`{name}` is retired, but not all it was given is destroyed; retire it again: {error}"
        ))
    })?;
    engines.keeper.clear_copies();
    Ok(told(&[]))
}

/// Adds a server in the shape configuration has for one. It is proposed, not started.
pub(super) async fn add(house: &Arc<House>, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let name = args.needed("name")?;
    let said = args
        .node("server")
        .ok_or_else(|| Failure::configuration("`server` is missing"))?;
    let text = object(|out| out.object("mcpServers", |out| out.node(&name, said)));
    let text = String::from_utf8(text).unwrap_or_default();
    let meant = parse_added(&text)?;
    let [server] = meant.as_slice() else {
        return Err(Failure::configuration("exactly one server is expected"));
    };
    if house.engines.keeper.server(server.spec.name.as_str()).is_ok() {
        return Err(Failure::configuration(format!(
            "there is a server `{}` already",
            server.spec.name
        )));
    }
    house
        .store
        .put(ADDED, server.spec.name.as_str(), text.as_bytes())
        .map_err(|e| Failure::other(e.to_string()))?;
    house
        .engines
        .outbound
        .place(server)
        .map_err(Failure::configuration)?;
    house
        .engines
        .keeper
        .configure(&meant, crate::config::said::Approve::Ask)?;
    Ok(object(|out| {
        out.string("name", server.spec.name.as_str());
        // Names are made to fit where they have to; whoever wrote this one will look for it.
        if server.spec.name.as_str() != name {
            out.string("written", &name);
        }
        out.string("state", ServerState::Proposed.as_str());
        out.string("launch", &server.launch.shown);
    }))
}

/// Reads servers that were added by command.
pub(crate) fn parse_added(text: &str) -> Result<Vec<MeantServer>, Failure> {
    let said = find::parse(text).map_err(Failure::configuration)?;
    let env = |name: &str| std::env::var(name).ok();
    let base = std::env::current_dir().unwrap_or_default();
    let lookup = Lookup::new(&env, &base);
    let meant = meant::mean(said, &lookup, &base);
    meant.map(|meant| meant.servers).map_err(|problems| {
        let texts: Vec<_> = problems.iter().map(ToString::to_string).collect();
        Failure::configuration(texts.join("\n"))
    })
}

fn write_head(house: &House, server: &Server, out: &mut ObjectWriter<'_>) {
    out.string("name", server.name.as_str());
    out.string("state", server.state.as_str());
    if let ServerState::Quarantined { why } = &server.state {
        out.string("why", why);
    }
    if house.engines.keeper.is_learnt(&server.name) {
        out.boolean("learning", true);
    }
    out.string("launch", &server.launch.shown);
    out.string("launch_pin", &server.launch.pin.to_string());
    out.string("trust", server.manifest.trust.as_str());
    if let Some(tenant) = &server.manifest.tenant {
        out.string("tenant", tenant);
    }
    if let Some((revision, _)) = server.revision {
        out.string("revision", revision.as_str());
    }
    if let Some((eras, _)) = server.eras {
        out.string("eras", eras.as_str());
    }
    let counted = |state: fn(&ItemState) -> bool| {
        let items = server
            .items
            .iter()
            .filter(|((kind, _), item)| *kind == ItemKind::Tool && state(&item.state));
        count(items.count())
    };
    out.object("tools", |out| {
        out.integer("approved", counted(|state| *state == ItemState::Approved));
        out.integer("proposed", counted(|state| *state == ItemState::Proposed));
        out.integer(
            "quarantined",
            counted(|state| matches!(state, ItemState::Quarantined { .. })),
        );
        out.integer("withdrawn", counted(|state| *state == ItemState::Withdrawn));
    });
    out.boolean(
        "running",
        house
            .engines
            .upstreams
            .health(&server.name)
            .is_some_and(|health| health.links > 0),
    );
}

fn write_item(kind: ItemKind, name: &str, item: &Item, out: &mut ObjectWriter<'_>) {
    out.string("kind", kind.as_str());
    out.string("name", name);
    out.string("state", item.state.as_str());
    if let ItemState::Quarantined { why } = &item.state {
        out.string("why", why);
    }
    if let Some(approved) = &item.approved {
        out.string("pin", &approved.pin().to_string());
    }
    if let Some(offered) = &item.offered {
        out.string("offered_pin", &offered.pin().to_string());
    }
}

fn write_definition(key: &str, definition: Option<&Definition>, out: &mut ObjectWriter<'_>) {
    match definition {
        Some(definition) => out.node(key, definition.document().root()),
        None => out.null(key),
    }
}

fn told(changes: &[Change]) -> Vec<u8> {
    object(|out| write_changes(changes, out))
}

fn write_changes(changes: &[Change], out: &mut ObjectWriter<'_>) {
    out.array("changes", |list| {
        changes.iter().for_each(|change| write_change(change, list))
    });
}

/// What is pinned, without the lock: `server sbom` has that.
fn write_artefact(artefact: &Artefact, out: &mut ObjectWriter<'_>) {
    out.string("ecosystem", artefact.ecosystem.as_str());
    out.string("name", &artefact.name);
    if let Some(publisher) = &artefact.publisher {
        out.string("publisher", publisher);
    }
    if let Some(version) = &artefact.version {
        out.string("version", version);
    }
    out.array("files", |list| {
        for file in &artefact.files {
            list.object(|out| {
                out.string("role", &file.role);
                out.string("path", &file.path.display().to_string());
                out.string("digest", &file.digest);
            });
        }
    });
    if let Some(copy) = &artefact.copy {
        out.object("copy", |out| {
            out.string("path", &copy.path.display().to_string());
            out.string("digest", &copy.digest);
            out.integer("files", count(copy.files));
            out.integer("bytes", copy.bytes);
        });
        out.integer("packages", count(artefact.lock.len()));
    }
    super::write_list(out, "warnings", &artefact.warnings);
    super::write_list(out, "not_pinned", &artefact.open);
}

fn write_change(change: &Change, list: &mut ArrayWriter<'_>) {
    list.object(|out| {
        out.string("change", change.kind.as_str());
        if let Some((kind, name)) = &change.item {
            out.string("kind", kind.as_str());
            out.string("name", name);
        }
        if let Some(pin) = change.approved {
            out.string("pin", &pin.to_string());
        }
    });
}
