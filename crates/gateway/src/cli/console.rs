//! `sallyport console`: lets whoever runs it in at the console, or makes a token for the API.

use clap::Args;
use wire::json::Node;

use super::{Common, place::Place, say};
use crate::{failure::Failure, operate::admin::control};

/// Print a link to the console of the running gateway, or a token for its API.
#[derive(Args, Debug)]
pub(crate) struct Console {
    /// As a user: decisions on approvals need a person.
    #[arg(long = "as", value_name = "USER")]
    as_user: Option<String>,
    /// For looking only.
    #[arg(long)]
    view: bool,
    /// A token for `/api/v1` instead of a link.
    #[arg(long)]
    token: bool,
    /// For how many hours the token stands; a month at most.
    #[arg(long, default_value = "8", requires = "token")]
    hours: u16,
}

impl Console {
    pub(crate) fn run(self, common: &Common) -> Result<(), Failure> {
        let place = Place::of(common)?;
        let args = wire::json::object(|out| {
            if let Some(user) = &self.as_user {
                out.string("as", user);
            }
            out.string("right", if self.view { "see" } else { "operate" });
            out.string("door", if self.token { "token" } else { "link" });
            out.string("hours", &self.hours.to_string());
        });
        let socket = place.control();
        let asked = super::block_on(async { control::ask(&socket, "console.open", &args).await })?;
        let answer = asked.ok_or_else(|| {
            Failure::unreachable("no gateway runs here; start one with `sallyport serve`, then ask again")
        })?;
        if common.json {
            say(answer.root().written());
            return Ok(());
        }
        let wanted = if self.token { "token" } else { "url" };
        let text = answer.root().get(wanted).and_then(Node::as_str);
        say(&text.unwrap_or_default());
        Ok(())
    }
}
