//! A person agrees on another device (RFC 8628): here a code is shown, there it is entered.

use std::time::Duration;

use identity::{Secret, oauth::DEVICE_GRANT};
use wire::json::Node;

use super::{
    discovery::{shown, text},
    leads_people_well,
    tokens::{Given, NoToken, TokenEndpoint},
};
use crate::known::issuers::Network;

/// How often it is asked unless the authorization server says otherwise, and how much less often after `slow_down`.
const PACE: Duration = Duration::from_secs(5);
/// The longest pause taken, and the longest life of a code.
const PACE_MAX: Duration = Duration::from_secs(60);
const LIFE_MAX: Duration = Duration::from_secs(30 * 60);

/// What is shown to the person, and waited for.
pub(crate) struct Waiting {
    code: Secret,
    /// What the person enters.
    pub(crate) user_code: String,
    /// Where.
    pub(crate) at: String,
    /// The same with the code in it already.
    pub(crate) whole: Option<String>,
    pace: Duration,
    life: Duration,
}

/// Begins.
pub(crate) async fn begin(endpoint: &TokenEndpoint<'_>, form: &[(&str, &str)]) -> Result<Waiting, NoToken> {
    let issuer = &endpoint.server.issuer;
    let url = endpoint.server.device.as_deref().ok_or_else(|| {
        let why = "names no `device_authorization_endpoint`, so nobody can agree from another device";
        NoToken::Failed(format!("`{issuer}` {why}"))
    })?;
    let answered = endpoint.post(url, form).await?.0;
    let root = answered.root();
    let needed = |name: &str| {
        text(root, name).ok_or_else(|| NoToken::Failed(format!("{url}: its answer has no `{name}`")))
    };
    let seconds = |name: &str, unsaid: Duration, most: Duration| {
        let said = root.get(name).and_then(Node::as_number).and_then(|n| n.as_u64());
        said.map_or(unsaid, Duration::from_secs).min(most)
    };
    let at = needed("verification_uri")?;
    // They log in there: what goes over the net in the clear could be anybody's page.
    leads_people_well(&at, Network::Private)
        .map_err(|why| NoToken::Failed(format!("{url}: its `verification_uri` {why}")))?;
    Ok(Waiting {
        code: Secret::presented(needed("device_code")?),
        user_code: shown(&needed("user_code")?),
        at: shown(&at),
        whole: text(root, "verification_uri_complete")
            .filter(|url| leads_people_well(url, Network::Private).is_ok())
            .map(|url| shown(&url)),
        pace: seconds("interval", PACE, PACE_MAX).max(Duration::from_secs(1)),
        life: seconds("expires_in", LIFE_MAX, LIFE_MAX),
    })
}

impl Waiting {
    /// Waits for the person.
    pub(crate) async fn wait(
        &self,
        endpoint: &TokenEndpoint<'_>,
        more: &[(&str, &str)],
    ) -> Result<Given, NoToken> {
        let mut form = vec![("grant_type", DEVICE_GRANT), ("device_code", self.code.expose())];
        form.extend(more);
        let (mut pace, begun) = (self.pace, tokio::time::Instant::now());
        while begun.elapsed() < self.life {
            tokio::time::sleep(pace).await;
            match endpoint.ask(&form).await {
                Err(NoToken::Refused { error, .. }) if error == "authorization_pending" => {}
                Err(NoToken::Refused { error, .. }) if error == "slow_down" => {
                    pace = (pace + PACE).min(PACE_MAX);
                }
                answer => return answer,
            }
        }
        Err(NoToken::Failed("nobody entered the code in time".to_owned()))
    }
}
