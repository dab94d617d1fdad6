//! A person at anybody's pages: fills in what forms ask for, keeps cookies, is sent on, and stops where they are told to.

use std::collections::BTreeMap;

/// A browser without scripts, for any host.
#[derive(Debug)]
pub struct Visitor {
    name: String,
    http: ureq::Agent,
    /// By host, then by name.
    cookies: BTreeMap<String, BTreeMap<String, String>>,
}

impl Visitor {
    /// Somebody of this name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .build();
        Self {
            name: name.to_owned(),
            http: config.into(),
            cookies: BTreeMap::new(),
        }
    }

    /// Opens a page and answers what is asked, until the way leads to an address that begins so. Gives that address.
    ///
    /// # Panics
    /// When it does not lead there.
    pub fn go(&mut self, url: &str, until: &str) -> String {
        let (mut at, mut form) = (url.to_owned(), None);
        let mut page = String::new();
        for _ in 0..20 {
            if at.starts_with(until) {
                return at;
            }
            let sent = self.step(&at, form.take());
            page = sent.1;
            if let Some(to) = sent.0 {
                at = joined(&at, &to);
                continue;
            }
            let Some(action) = attribute(&page, "action=\"") else {
                break;
            };
            at = joined(&at, &action);
            form = Some(self.fields(&page));
        }
        panic!("{at}: {page}");
    }

    /// What the form says already, and what it asks for.
    fn fields(&self, page: &str) -> Vec<(String, String)> {
        let inputs = page.split("<input").skip(1).filter_map(|input| {
            let input = input.split('>').next()?;
            let name = attribute(input, "name=\"")?;
            let value = match name.as_str() {
                "login" => self.name.clone(),
                "password" => "any".to_owned(),
                _ => attribute(input, "value=\"").unwrap_or_default(),
            };
            Some((name, value))
        });
        inputs.collect()
    }

    fn step(&mut self, url: &str, form: Option<Vec<(String, String)>>) -> (Option<String>, String) {
        let host = origin(url).to_owned();
        let jar = self.cookies.entry(host).or_default();
        let cookies: Vec<_> = jar
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let cookies = cookies.join("; ");
        let answer = match form {
            None => self.http.get(url).header("Cookie", &cookies).call(),
            Some(form) => {
                let request = self.http.post(url).header("Cookie", &cookies);
                request.send_form(form.iter().map(|(name, value)| (name.as_str(), value.as_str())))
            }
        };
        let answer = answer.expect("an answer");
        for cookie in answer.headers().get_all("set-cookie") {
            let cookie = cookie.to_str().expect("text");
            let pair = cookie.split(';').next().and_then(|pair| pair.split_once('='));
            let (name, value) = pair.expect("a cookie");
            jar.insert(name.to_owned(), value.to_owned());
        }
        let to = answer.headers().get("location");
        let to = to.and_then(|to| Some(to.to_str().ok()?.to_owned()));
        (to, answer.into_body().read_to_string().expect("a page"))
    }
}

/// What stands behind this up to the next quote.
fn attribute(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(name)?;
    let (value, _) = rest.split_once('"')?;
    Some(value.replace("&amp;", "&"))
}

fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url
        .get(host..)
        .and_then(|rest| rest.find(['/', '?']))
        .map(|at| at + host);
    end.and_then(|end| url.get(..end)).unwrap_or(url)
}

fn joined(at: &str, to: &str) -> String {
    if to.starts_with('/') {
        format!("{}{to}", origin(at))
    } else {
        to.to_owned()
    }
}
