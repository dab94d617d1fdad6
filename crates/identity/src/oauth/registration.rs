//! What clients say of themselves: the metadata document at the URL that is their id
//! (draft-ietf-oauth-client-id-metadata-document), or a registration (RFC 7591).

use wire::json::{Kind, Node, object};

use super::{KnownBy, OauthError, OauthFault, RedirectUri, RegisteredClient, Registrar};

/// The longest name, in bytes, and the most redirect URIs.
const NAME_BYTES_MAX: usize = 100;
const REDIRECTS_MAX: usize = 16;
/// The longest `client_id` that is a URL, in bytes.
const ID_BYTES_MAX: usize = 512;

/// Whether a `client_id` is a URL that a metadata document may be at: https, a host, a path, and nothing that could be
/// written in two ways.
///
/// # Errors
/// What is wrong with it.
pub fn document_url(id: &str) -> Result<&str, &'static str> {
    let rest = id.strip_prefix("https://").ok_or("it is not https")?;
    let printable = id.bytes().all(|b| (0x21..0x7F).contains(&b));
    if !printable || id.len() > ID_BYTES_MAX || id.contains(['#', '?', '\\', '@', '%', '"', '<', '>']) {
        return Err("it has a user, a query, a fragment or letters that a plain URL has not");
    }
    let (host, path) = rest.split_once('/').ok_or("it has no path")?;
    let bare = host.split_once(':').map_or(host, |(bare, _)| bare);
    let lower = bare
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c));
    if bare.is_empty() || !lower || bare.starts_with('.') || bare.ends_with('.') {
        return Err("its host is not a plain name in lower case");
    }
    // Numbers are addresses in one of their many spellings, and a document belongs to a name.
    let last = bare.rsplit('.').next().unwrap_or_default();
    if last.chars().all(|c| c.is_ascii_digit()) || last.starts_with("0x") {
        return Err("its host is an address and not a name");
    }
    if path.is_empty() || path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err("its path is empty or not plain");
    }
    Ok(bare)
}

/// Reads the document at a URL.
///
/// # Errors
/// When it is not that client's, or the client is none for here.
pub fn read_document(document: Node<'_>, url: &str) -> Result<RegisteredClient, OauthError> {
    if !document.get("client_id").is_some_and(|id| id.is_str(url)) {
        return Err(invalid("the document's `client_id` is not the URL it is at"));
    }
    if document.get("client_secret").is_some() {
        return Err(invalid("a document that everybody can read has no secret"));
    }
    read(document, url.to_owned(), KnownBy::Document)
}

/// Reads a registration; the client gets this id.
///
/// # Errors
/// When it says something that is not possible here.
pub fn read_registration(document: Node<'_>, id: String) -> Result<RegisteredClient, OauthError> {
    let kind = document.get("application_type");
    if kind.is_some_and(|kind| !kind.is_str("web") && !kind.is_str("native")) {
        return Err(invalid("`application_type` is `web` or `native`"));
    }
    let client = read(document, id, KnownBy::Itself)?;
    // OpenID Connect Registration: sites are `web`, programs of the person's machine `native`.
    let is_native = kind.is_some_and(|kind| kind.is_str("native"));
    let is_web = kind.is_some_and(|kind| kind.is_str("web"));
    if client
        .redirects
        .iter()
        .any(|uri| is_web && !uri.is_site() || is_native && uri.is_site())
    {
        let why = "`redirect_uris` are not of that `application_type`";
        return Err(OauthError::new(OauthFault::InvalidRedirectUri, why));
    }
    Ok(client)
}

fn read(document: Node<'_>, id: String, known_by: KnownBy) -> Result<RegisteredClient, OauthError> {
    if document.kind() != Kind::Object {
        return Err(invalid("it is not a JSON object"));
    }
    let redirects = redirects(document)?;
    // Public clients alone: a secret for whoever asks proves nothing. Who registers is told so in the answer.
    let method = document.get("token_endpoint_auth_method");
    if known_by == KnownBy::Document && !method.is_some_and(|method| method.is_str("none")) {
        return Err(invalid("`token_endpoint_auth_method` has to be `none`"));
    }
    let grants = words(document, "grant_types")?;
    if grants
        .as_ref()
        .is_some_and(|grants| !grants.iter().any(|grant| grant == "authorization_code"))
    {
        return Err(invalid("`grant_types` has to hold `authorization_code`"));
    }
    let responses = words(document, "response_types")?;
    if responses.is_some_and(|responses| !responses.iter().any(|response| response == "code")) {
        return Err(invalid("`response_types` has to hold `code`"));
    }
    let name = match document.get("client_name") {
        None => id.clone(),
        Some(name) => {
            let name = name
                .as_str()
                .ok_or_else(|| invalid("`client_name` is not text"))?;
            let name = name.trim();
            if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
                return Err(invalid(
                    "`client_name` is empty, too long, or has control characters",
                ));
            }
            name.to_owned()
        }
    };
    Ok(RegisteredClient {
        id,
        name,
        redirects,
        secret: None,
        agent: None,
        refreshes: grants.is_some_and(|grants| grants.iter().any(|grant| grant == "refresh_token")),
        known_by,
    })
}

fn redirects(document: Node<'_>) -> Result<Vec<RedirectUri>, OauthError> {
    let refuse = |why: &str| OauthError::new(OauthFault::InvalidRedirectUri, why);
    let redirects = words(document, "redirect_uris")?.unwrap_or_default();
    if redirects.is_empty() || redirects.len() > REDIRECTS_MAX {
        return Err(refuse("`redirect_uris` is missing, empty or too long"));
    }
    let redirects = redirects
        .iter()
        .map(|uri| RedirectUri::parse(uri, Registrar::Anybody));
    let redirects: Result<_, _> = redirects.collect();
    redirects.map_err(|error| refuse(&error.to_string()))
}

fn words(document: Node<'_>, name: &'static str) -> Result<Option<Vec<String>>, OauthError> {
    let Some(list) = document.get(name) else {
        return Ok(None);
    };
    let words = list
        .elements()
        .map(|word| Some(word.as_str()?.into_owned()))
        .collect::<Option<_>>();
    let is_list = list.kind() == Kind::Array;
    words
        .filter(|_| is_list)
        .map(Some)
        .ok_or_else(|| invalid(&format!("`{name}` is not a list of texts")))
}

/// The answer to a registration (RFC 7591, section 3.2.1).
#[must_use]
pub fn registered(client: &RegisteredClient, issued_ms: i64) -> Vec<u8> {
    object(|out| {
        out.string("client_id", &client.id);
        out.integer("client_id_issued_at", issued_ms.div_euclid(1000));
        out.string("client_name", &client.name);
        write_metadata(client, out);
    })
}

/// Writes what is kept of a client that registered.
pub fn write_metadata(client: &RegisteredClient, out: &mut wire::json::ObjectWriter<'_>) {
    out.array("redirect_uris", |list| {
        client.redirects.iter().for_each(|uri| list.string(uri.as_str()));
    });
    out.array("grant_types", |list| {
        list.string("authorization_code");
        if client.refreshes {
            list.string("refresh_token");
        }
    });
    out.array("response_types", |list| list.string("code"));
    out.string("token_endpoint_auth_method", "none");
}

fn invalid(why: &str) -> OauthError {
    OauthError::new(OauthFault::InvalidClientMetadata, why)
}

#[cfg(test)]
mod tests {
    use wire::{
        bounds::CREDENTIAL,
        json::{Document, Keys},
    };

    use super::*;

    const URL: &str = "https://app.example/client.json";

    fn parsed(text: &str) -> Document {
        Document::parse(text.as_bytes().to_vec(), Keys::Exact, &CREDENTIAL).expect("JSON")
    }

    fn document(change: &str) -> Result<RegisteredClient, OauthError> {
        let good = format!(
            r#"{{"client_id":"{URL}","client_name":"App","token_endpoint_auth_method":"none",
               "redirect_uris":["http://127.0.0.1/cb"],"grant_types":["authorization_code","refresh_token"]}}"#
        );
        let text = match change.split_once(" => ") {
            Some((from, to)) => {
                assert!(good.contains(from), "{from}");
                good.replace(from, to)
            }
            None => good,
        };
        read_document(parsed(&text).root(), URL)
    }

    #[test]
    fn a_document_says_what_its_client_is_like_and_nothing_else_does() {
        let client = document("").expect("a client");
        assert_eq!((client.name.as_str(), client.refreshes), ("App", true));
        for change in [
            "app.example => other.example",
            "\"none\" => \"client_secret_basic\"",
            "\"none\" => \"private_key_jwt\"",
            "\"token_endpoint_auth_method\":\"none\", => ",
            "\"client_name\":\"App\" => \"client_secret\":\"s\"",
            "\"App\" => \"\"",
            "\"App\" => 7",
            "\"App\" => \"a\\u0007b\"",
            "[\"http://127.0.0.1/cb\"] => []",
            "[\"http://127.0.0.1/cb\"] => \"http://127.0.0.1/cb\"",
            "http://127.0.0.1/cb => http://app.example/cb",
            "http://127.0.0.1/cb => javascript:x",
            "\"authorization_code\", => ",
        ] {
            assert!(document(change).is_err(), "{change}");
        }
    }

    /// OA-038.
    #[test]
    fn only_plain_urls_are_client_ids() {
        for good in [URL, "https://app.example:8443/a/b.json", "https://localhost:1/x"] {
            assert!(document_url(good).is_ok(), "{good}");
        }
        for bad in [
            "http://app.example/client.json",
            "https://app.example",
            "https://app.example/",
            "https://app.example/../client.json",
            "https://app.example//client.json",
            "https://app.example/client.json#x",
            "https://app.example/client.json?x=1",
            "https://user@app.example/client.json",
            "https://APP.example/client.json",
            "https://127.0.0.1/client.json",
            "https://2130706433/client.json",
            "https://0x7f000001/client.json",
            "https://[::1]/client.json",
            "https://169.254.169.254/latest",
            "https://app.example./client.json",
            "https://app.exämple/client.json",
            "https://app.example\\@evil.example/x",
            "https://app.example/%2e%2e/x",
            "file:///etc/passwd",
            "https://",
            "",
        ] {
            assert!(document_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_registration_becomes_a_public_client() {
        let text = |more: &str| format!(r#"{{"redirect_uris":["http://localhost:3000/cb"]{more}}}"#);
        let read = |more: &str| read_registration(parsed(&text(more)).root(), "id".into());
        let client = read(r#","token_endpoint_auth_method":"client_secret_post""#).expect("a client");
        assert!(client.secret.is_none() && !client.refreshes);
        let told = String::from_utf8(registered(&client, 0)).expect("UTF-8");
        assert!(told.contains(r#""token_endpoint_auth_method":"none""#), "{told}");
        assert!(read(r#","application_type":"native""#).is_ok());
        for more in [
            r#","application_type":"web""#,
            r#","application_type":"robot""#,
            r#","grant_types":["client_credentials"]"#,
            r#","grant_types":"authorization_code""#,
            r#","response_types":["token"]"#,
        ] {
            assert!(read(more).is_err(), "{more}");
        }
        assert!(read_registration(parsed("[]").root(), "id".into()).is_err());
        assert!(read_registration(parsed("{}").root(), "id".into()).is_err());
    }
}
