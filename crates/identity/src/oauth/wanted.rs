//! How a person has to log in, as a client asks for it (OpenID Connect Core, section 3.1.2.1; RFC 9470).

use wire::json::{Node, ObjectWriter};

use super::{Form, OauthError, OauthFault};
use crate::principal::is_by;

/// The most levels one request names, and the longest name of one, in bytes.
const LEVELS_MAX: usize = 8;
const LEVEL_BYTES_MAX: usize = 128;
/// The longest `max_age` that means anything, in seconds: a year.
const AGE_S_MAX: i64 = 366 * 24 * 3600;

/// See the module. The default wants nothing in particular.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Wanted {
    /// Levels or methods of which one will do; none where any does.
    pub levels: Vec<String>,
    /// How long ago the person may have logged in, in seconds.
    pub max_age_s: Option<i64>,
    /// Whether the person has to log in anew, wherever they are logged in.
    pub login: Anew,
    /// Whether the person is asked for consent, whatever they agreed to before.
    pub consent: Anew,
}

/// Whether something is done once more.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Anew {
    /// It is.
    Yes,
    /// Where it has to be.
    #[default]
    IfNeeded,
}

impl Wanted {
    /// Reads `acr_values`, `max_age` and `prompt`.
    ///
    /// # Errors
    /// When one of them is none, or when nobody may be asked: everybody logs in each time.
    pub(super) fn read(form: &Form) -> Result<Self, OauthError> {
        let invalid = |why: &str| OauthError::new(OauthFault::InvalidRequest, why);
        let words = |name: &str| {
            form.get(name)
                .unwrap_or_default()
                .split(' ')
                .filter(|word| !word.is_empty())
        };
        let levels: Vec<String> = words("acr_values").map(str::to_owned).collect();
        if levels.len() > LEVELS_MAX || !levels.iter().all(|level| is_level(level)) {
            return Err(invalid("`acr_values` is too long, or has letters it cannot have"));
        }
        let max_age_s = match form.get("max_age") {
            None => None,
            Some(age) => Some(
                age.parse()
                    .ok()
                    .filter(|age| (0..=AGE_S_MAX).contains(age))
                    .ok_or_else(|| invalid("`max_age` is no number of seconds"))?,
            ),
        };
        let mut wanted = Self {
            levels,
            max_age_s,
            ..Self::default()
        };
        for word in words("prompt") {
            match word {
                "login" | "select_account" => wanted.login = Anew::Yes,
                "consent" => wanted.consent = Anew::Yes,
                "none" if words("prompt").count() > 1 => {
                    return Err(invalid("`prompt=none` stands alone"));
                }
                // Everybody logs in anew, so nobody is logged in.
                "none" => {
                    return Err(OauthError::new(
                        OauthFault::LoginRequired,
                        "a person has to log in",
                    ));
                }
                _ => {
                    return Err(invalid(
                        "`prompt` is one of: login, consent, select_account, none",
                    ));
                }
            }
        }
        Ok(wanted)
    }

    /// Whether somebody who was authenticated at that level and by those methods will do.
    #[must_use]
    pub fn is_met_by(&self, acr: &str, methods: &[String]) -> bool {
        self.levels.is_empty() || self.levels.iter().any(|level| is_by((acr, methods), level))
    }

    /// Writes it.
    pub(super) fn write(&self, out: &mut ObjectWriter<'_>) {
        out.array("levels", |list| {
            self.levels.iter().for_each(|level| list.string(level))
        });
        if let Some(max_age_s) = self.max_age_s {
            out.integer("age", max_age_s);
        }
        out.boolean("login", self.login == Anew::Yes);
        out.boolean("consent", self.consent == Anew::Yes);
    }

    /// Reads what [`Self::write`] wrote.
    pub(super) fn restore(node: Node<'_>) -> Option<Self> {
        let anew = |name: &str| match node.get(name).and_then(Node::as_bool)? {
            true => Some(Anew::Yes),
            false => Some(Anew::IfNeeded),
        };
        let levels = node.get("levels")?.elements();
        Some(Self {
            levels: levels
                .map(|level| Some(level.as_str()?.into_owned()))
                .collect::<Option<_>>()?,
            max_age_s: match node.get("age") {
                None => None,
                Some(age) => Some(age.as_number()?.as_i64()?),
            },
            login: anew("login")?,
            consent: anew("consent")?,
        })
    }
}

/// Printable ASCII without quotes, so that it fits into a challenge, too.
fn is_level(text: &str) -> bool {
    let letter = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
    text.len() <= LEVEL_BYTES_MAX && text.bytes().all(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Wanted, OauthFault> {
        Wanted::read(&Form::parse(query.as_bytes()).expect("a form")).map_err(|error| error.fault)
    }

    #[test]
    fn what_is_wanted_is_read_and_kept_whole() {
        assert_eq!(read("state=x"), Ok(Wanted::default()));
        let wanted = read("acr_values=mfa+urn:x:phr&max_age=300&prompt=login+consent").expect("fine");
        assert_eq!(wanted.levels, ["mfa", "urn:x:phr"]);
        assert_eq!(
            (wanted.max_age_s, wanted.login, wanted.consent),
            (Some(300), Anew::Yes, Anew::Yes)
        );
        let kept = wire::json::object(|out| wanted.write(out));
        let kept = wire::json::Document::parse(kept, wire::json::Keys::Exact, &wire::bounds::CREDENTIAL);
        assert_eq!(Wanted::restore(kept.expect("JSON").root()), Some(wanted));
    }

    #[test]
    fn what_cannot_be_wanted_is_refused() {
        for query in [
            "max_age=-1",
            "max_age=soon",
            "max_age=99999999999",
            "prompt=none+login",
            "prompt=create",
            "acr_values=a+b+c+d+e+f+g+h+i",
            "acr_values=%22",
            "acr_values=m%C3%BCde",
        ] {
            assert_eq!(read(query), Err(OauthFault::InvalidRequest), "{query}");
        }
        assert_eq!(read("prompt=none"), Err(OauthFault::LoginRequired));
    }

    #[test]
    fn one_level_of_those_that_are_wanted_will_do() {
        let of = |levels: &str| read(&format!("acr_values={levels}")).expect("fine");
        let (password, code) = (
            ["pwd".to_owned()],
            ["pwd".to_owned(), "otp".to_owned(), "mfa".to_owned()],
        );
        assert!(of("").is_met_by("password", &password));
        assert!(of("password").is_met_by("password", &password));
        assert!(!of("mfa").is_met_by("password", &password));
        assert!(of("mfa").is_met_by("mfa", &code) && of("otp").is_met_by("mfa", &code));
        assert!(of("mfa+password").is_met_by("password", &password));
        assert!(!of("urn:x:phr").is_met_by("mfa", &code));
        assert!(of("urn:x:phr").is_met_by("urn:x:phr", &[]));
    }
}
