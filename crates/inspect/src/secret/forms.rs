//! Credentials that are known by their form.

use super::check::{entropy, is_placeholder};

/// A credential that begins with a word of its issuer.
#[derive(Debug)]
pub(super) struct Prefix {
    pub(super) detector: &'static str,
    prefix: &'static str,
    /// Shortest and longest length of what follows.
    length: (usize, usize),
}

const fn p(detector: &'static str, prefix: &'static str, least: usize, most: usize) -> Prefix {
    Prefix {
        detector,
        prefix,
        length: (least, most),
    }
}

/// Sorted by nothing: the first that fits is taken, so the longer of two that begin alike stands first.
const PREFIXES: &[Prefix] = &[
    p("secret/1password", "ops_eyJ", 40, 2000),
    p("secret/1password", "A3-", 20, 60),
    p("secret/adafruit", "aio_", 28, 28),
    p("secret/age-key", "AGE-SECRET-KEY-1", 58, 58),
    p("secret/airtable", "patX", 20, 90),
    p("secret/alibaba", "LTAI", 12, 30),
    p("secret/anthropic", "sk-ant-", 20, 200),
    p("secret/apify", "apify_api_", 30, 60),
    p("secret/artifactory", "AKCp", 10, 200),
    p("secret/artifactory", "cmVmd", 55, 64),
    p("secret/asana", "1/", 30, 80),
    p("secret/atlassian", "ATATT3", 30, 300),
    p("secret/atlassian", "ATCTT3", 30, 300),
    p("secret/aws-access-key", "AKIA", 16, 16),
    p("secret/aws-access-key", "ASIA", 16, 16),
    p("secret/aws-access-key", "ABIA", 16, 16),
    p("secret/aws-access-key", "ACCA", 16, 16),
    p("secret/aws-access-key", "A3T", 17, 17),
    p("secret/aws-bedrock-key", "ABSKQmVkcm9ja0FQSUtleS", 60, 300),
    p("secret/aws-bedrock-key", "bedrock-api-key-", 20, 2000),
    p("secret/buildkite", "bkua_", 30, 60),
    p("secret/clojars", "CLOJARS_", 60, 60),
    p("secret/cloudflare", "v1.0-", 40, 200),
    p("secret/databricks", "dapi", 32, 34),
    p("secret/digitalocean", "dop_v1_", 64, 64),
    p("secret/digitalocean", "doo_v1_", 64, 64),
    p("secret/digitalocean", "dor_v1_", 64, 64),
    p("secret/docker", "dckr_pat_", 20, 60),
    p("secret/docker", "dckr_oat_", 20, 60),
    p("secret/doppler", "dp.pt.", 40, 50),
    p("secret/doppler", "dp.st.", 30, 70),
    p("secret/doppler", "dp.ct.", 30, 70),
    p("secret/doppler", "dp.sa.", 30, 70),
    p("secret/doppler", "dp.scim.", 30, 70),
    p("secret/doppler", "dp.audit.", 30, 70),
    p("secret/duffel", "duffel_", 40, 60),
    p("secret/dynatrace", "dt0c01.", 80, 100),
    p("secret/easypost", "EZAK", 54, 54),
    p("secret/easypost", "EZTK", 54, 54),
    p("secret/facebook", "EAA", 60, 300),
    p("secret/figma", "figd_", 30, 60),
    p("secret/flutterwave", "FLWSECK_TEST-", 20, 50),
    p("secret/flutterwave", "FLWSECK-", 20, 50),
    p("secret/flyio", "fo1_", 40, 60),
    p("secret/flyio", "fm2_", 60, 1000),
    p("secret/frameio", "fio-u-", 60, 70),
    p("secret/github-token", "github_pat_", 60, 100),
    p("secret/github-token", "ghp_", 36, 40),
    p("secret/github-token", "gho_", 36, 40),
    p("secret/github-token", "ghu_", 36, 40),
    p("secret/github-token", "ghs_", 36, 40),
    p("secret/github-token", "ghr_", 36, 80),
    p("secret/gitlab-token", "glpat-", 20, 60),
    p("secret/gitlab-token", "glptt-", 40, 40),
    p("secret/gitlab-token", "gldt-", 20, 40),
    p("secret/gitlab-token", "glrt-", 20, 60),
    p("secret/gitlab-token", "GR1348941", 20, 20),
    p("secret/gitlab-token", "glcbt-", 20, 60),
    p("secret/gitlab-token", "glft-", 20, 60),
    p("secret/gitlab-token", "glimt-", 20, 60),
    p("secret/gitlab-token", "glagent-", 40, 60),
    p("secret/gitlab-token", "glsoat-", 20, 60),
    p("secret/gitlab-token", "gloas-", 60, 70),
    p("secret/google-api-key", "AIza", 35, 35),
    p("secret/google-oauth", "GOCSPX-", 24, 40),
    p("secret/google-oauth", "ya29.", 20, 500),
    p("secret/grafana", "glc_", 32, 400),
    p("secret/grafana", "glsa_", 32, 60),
    p("secret/groq", "gsk_", 40, 60),
    p("secret/harness", "pat.", 50, 80),
    p("secret/hashicorp", "hvs.", 20, 200),
    p("secret/hashicorp", "hvb.", 20, 300),
    p("secret/heroku", "HRKU-", 30, 80),
    p("secret/huggingface", "hf_", 30, 40),
    p("secret/huggingface", "api_org_", 34, 34),
    p("secret/infracost", "ico-", 32, 32),
    p("secret/intra42", "s-s4t2ud-", 60, 70),
    p("secret/linear", "lin_api_", 40, 40),
    p("secret/mailchimp", "md-", 20, 24),
    p("secret/mapbox", "sk.eyJ", 40, 200),
    p("secret/mapbox", "pk.eyJ", 40, 200),
    p("secret/mongodb", "mdb_sa_sk_", 30, 60),
    p("secret/newrelic", "NRAK-", 20, 30),
    p("secret/newrelic", "NRII-", 30, 40),
    p("secret/newrelic", "NRJS-", 15, 25),
    p("secret/newrelic", "NRIQ-", 30, 36),
    p("secret/newrelic", "NRRA-", 40, 44),
    p("secret/ngc", "nvapi-", 60, 80),
    p("secret/notion", "ntn_", 40, 50),
    p("secret/notion", "secret_", 40, 50),
    p("secret/npm", "npm_", 36, 36),
    p("secret/openai", "sk-proj-", 30, 250),
    p("secret/openai", "sk-svcacct-", 30, 250),
    p("secret/openrouter", "sk-or-v1-", 60, 70),
    p("secret/openai", "sk-", 32, 60),
    p("secret/openshift", "sha256~", 43, 43),
    p("secret/perplexity", "pplx-", 48, 56),
    p("secret/planetscale", "pscale_tkn_", 30, 70),
    p("secret/planetscale", "pscale_pw_", 30, 70),
    p("secret/planetscale", "pscale_oauth_", 30, 70),
    p("secret/posthog", "phx_", 40, 60),
    p("secret/posthog", "phc_", 40, 60),
    p("secret/postman", "PMAK-", 50, 60),
    p("secret/prefect", "pnu_", 36, 36),
    p("secret/pulumi", "pul-", 40, 40),
    p("secret/pypi", "pypi-", 50, 300),
    p("secret/readme", "rdme_", 70, 70),
    p("secret/replicate", "r8_", 37, 40),
    p("secret/rubygems", "rubygems_", 48, 48),
    p("secret/scalingo", "tk-us-", 48, 48),
    p("secret/sendgrid", "SG.", 60, 70),
    p("secret/sendinblue", "xkeysib-", 70, 90),
    p("secret/sendinblue", "xsmtpsib-", 70, 90),
    p("secret/sentry", "sntrys_", 60, 300),
    p("secret/sentry", "sntryu_", 60, 70),
    p("secret/settlemint", "sm_", 18, 24),
    p("secret/shippo", "shippo_live_", 40, 40),
    p("secret/shippo", "shippo_test_", 40, 40),
    p("secret/shopify", "shpat_", 32, 32),
    p("secret/shopify", "shpca_", 32, 32),
    p("secret/shopify", "shppa_", 32, 32),
    p("secret/shopify", "shpss_", 32, 32),
    p("secret/slack", "xoxb-", 20, 90),
    p("secret/slack", "xoxp-", 20, 90),
    p("secret/slack", "xoxe.xoxp-", 40, 250),
    p("secret/slack", "xoxe.xoxb-", 40, 250),
    p("secret/slack", "xoxe-", 40, 250),
    p("secret/slack", "xoxa-", 10, 90),
    p("secret/slack", "xoxr-", 10, 90),
    p("secret/slack", "xoxo-", 10, 90),
    p("secret/slack", "xoxs-", 10, 90),
    p("secret/slack", "xapp-", 20, 120),
    p("secret/sourcegraph", "sgp_", 40, 90),
    p("secret/square", "sq0atp-", 22, 30),
    p("secret/square", "sq0csp-", 40, 50),
    p("secret/square", "EAAAE", 55, 65),
    p("secret/stripe", "sk_live_", 10, 120),
    p("secret/stripe", "sk_test_", 10, 120),
    p("secret/stripe", "rk_live_", 10, 120),
    p("secret/stripe", "rk_test_", 10, 120),
    p("secret/stripe", "whsec_", 30, 60),
    p("secret/supabase", "sbp_", 40, 40),
    p("secret/tailscale", "tskey-", 20, 80),
    p("secret/tavily", "tvly-", 28, 60),
    p("secret/tencent", "AKID", 32, 40),
    p("secret/twilio", "SK", 32, 32),
    p("secret/twilio", "AC", 32, 32),
    p("secret/typeform", "tfp_", 50, 70),
    p("secret/wakatime", "waka_", 36, 36),
    p("secret/xai", "xai-", 70, 90),
    p("secret/yandex", "t1.", 80, 200),
    p("secret/yandex", "AQVN", 34, 40),
    p("secret/zapier", "zpka_", 30, 60),
];

/// Whether a pattern, of a field of a form, is one of credentials.
pub(super) fn begins_credential(pattern: &str) -> bool {
    let telling = PREFIXES.iter().map(|known| known.prefix);
    let mut telling = telling.filter(|prefix| prefix.len() > 3 && prefix.contains(['_', '-', 'A']));
    telling.any(|prefix| pattern.contains(prefix))
}

/// The prefixes by their first byte, in their order.
#[derive(Debug)]
pub(super) struct Prefixes(Vec<Vec<&'static Prefix>>);

impl Prefixes {
    pub(super) fn new() -> Self {
        let mut first = vec![Vec::new(); 256];
        for known in PREFIXES {
            let byte = known.prefix.as_bytes().first();
            if let Some(of_byte) = byte.and_then(|byte| first.get_mut(usize::from(*byte))) {
                of_byte.push(known);
            }
        }
        Self(first)
    }

    /// The credential with a known prefix in a run: where it begins, how long it is, and whose it is.
    pub(super) fn find(&self, run: &str) -> Option<(usize, usize, &'static Prefix)> {
        let start = run
            .rfind(['=', ':', '%'])
            .filter(|at| run.len() - at > 12)
            .map_or(0, |at| at + 1);
        let value = run.get(start..)?.trim_end_matches(['.', '=', ':', '/']);
        let whole = self.with_prefix(value, |_| true);
        if let Some(known) = whole {
            return Some((start, value.len(), known));
        }
        // A step of a path, a label of a host, a part of a name. Short marks stand behind slashes in any data.
        let long = |known: &Prefix| known.prefix.len() > 3 || known.prefix.ends_with('_');
        let steps = |ends: &'static [char]| {
            let mut next = 0;
            run.split(ends).map(move |step| {
                let begin = next;
                next += step.len() + 1;
                (begin, step)
            })
        };
        // Some have dots in them.
        let steps = steps(&['/', ':', '=', '%']).chain(steps(&['/', ':', '=', '%', '.']));
        for (begin, step) in steps {
            // `%2F` and the like.
            let is_encoded = run.get(..begin).is_some_and(|before| before.ends_with('%'));
            let hex = if is_encoded { 2 } else { 0 };
            let found = step.get(hex..).and_then(|step| {
                let whole = self.with_prefix(step, long).map(|known| (step.len(), known));
                whole.or_else(|| self.begun(step, long))
            });
            if let Some((length, known)) = found {
                return Some((begin + hex, length, known));
            }
        }
        None
    }

    /// The credential that a step begins with, and whose it is, where it ends with its letters and digits.
    fn begun(&self, step: &str, of: impl Fn(&Prefix) -> bool + Copy) -> Option<(usize, &'static Prefix)> {
        let first = step.as_bytes().first()?;
        self.0.get(usize::from(*first))?.iter().find_map(|known| {
            let rest = step.strip_prefix(known.prefix).filter(|_| of(known))?;
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric())?;
            let length = known.prefix.len() + end;
            Some((length, self.with_prefix(step.get(..length)?, of)?))
        })
    }

    /// Whose credential a value is by its prefix, if it has one of these.
    fn with_prefix(&self, value: &str, of: impl Fn(&Prefix) -> bool) -> Option<&'static Prefix> {
        let first = value.as_bytes().first()?;
        if matches!(first, b'M' | b'N' | b'O') && of(&DISCORD) && is_discord(value) {
            return Some(&DISCORD);
        }
        for known in self.0.get(usize::from(*first)).into_iter().flatten() {
            let Some(rest) = value.strip_prefix(known.prefix).filter(|_| of(known)) else {
                continue;
            };
            let varied =
                entropy(rest) > 2.4 && rest.bytes().any(|b| b.is_ascii_digit() || b.is_ascii_uppercase());
            if (known.length.0..=known.length.1).contains(&rest.len())
                && varied
                && !is_placeholder(rest)
                && fits(known.prefix, rest)
            {
                return Some(known);
            }
        }
        None
    }
}

const DISCORD: Prefix = p("secret/discord", "", 58, 74);

/// An account, a time and a signature, each of its own length.
fn is_discord(value: &str) -> bool {
    let lengths: Vec<usize> = value.split('.').map(str::len).collect();
    matches!(lengths.as_slice(), [24..=26, 6, 27..=38]) && entropy(value) > 4.0
}

/// What follows a short prefix must not be a word.
fn fits(prefix: &str, rest: &str) -> bool {
    match prefix {
        "AKIA" | "ASIA" | "ABIA" | "ACCA" | "A3T" => {
            rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        }
        "SK" | "AC" => rest
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)),
        "1/" => rest.bytes().take(12).all(|b| b.is_ascii_digit()),
        "EAA" | "LTAI" | "sm_" | "md-" | "hf_" | "AKCp" => rest.bytes().all(|b| b.is_ascii_alphanumeric()),
        "A3-" => rest
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-'),
        "dapi" => rest
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b) || b == b'-'),
        _ => !rest.contains('/') || prefix.len() > 5,
    }
}

/// A credential that an expression describes.
#[derive(Debug)]
pub(super) struct Form {
    pub(super) detector: &'static str,
    /// One of these stands in every text that has it.
    pub(super) marks: &'static [&'static str],
    pub(super) pattern: &'static str,
    pub(super) check: fn(&str) -> bool,
}

fn real(text: &str) -> bool {
    !is_placeholder(text)
        && !text.contains("${")
        && !text.contains("{{")
        && !text.contains('<')
        && !text.starts_with('$')
}

pub(super) const FORMS: &[Form] = &[
    Form {
        detector: "secret/private-key",
        marks: &["PRIVATE KEY"],
        pattern: r"-----BEGIN[ A-Z0-9_-]{0,40}PRIVATE KEY(?: BLOCK)?-----[\sA-Za-z0-9+/=\\:,.-]{32,}",
        check: |_| true,
    },
    Form {
        detector: "secret/jwt",
        marks: &["eyJ", "ZXlK", "ewog"],
        pattern: r"(?-u:\b)e[yw][A-Za-z0-9_-]{14,}\.e[yw][A-Za-z0-9_/\\-]{14,}(?:\.[A-Za-z0-9_/\\-]{8,}={0,2})?",
        check: |_| true,
    },
    Form {
        detector: "secret/url-password",
        marks: &["://"],
        pattern: r"(?-u:\b)[a-z][a-z0-9+.-]{2,20}://[^\s:/@'\x22<>]{0,64}:(?P<value>[^\s:/@'\x22<>]{3,128})@[A-Za-z0-9.-]{3,}",
        check: real,
    },
    Form {
        detector: "secret/webhook",
        marks: &[
            "hooks.slack.com",
            "/api/webhooks/",
            ".webhook.office.com",
            "hooks.zapier.com",
            ".tines.com/webhook",
            "hooks.slack-gov.com",
        ],
        pattern: r"https?://(?:hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/[A-Za-z0-9/+_-]{20,}|(?:[a-z]+\.)?discord(?:app)?\.com/api/webhooks/\d{17,20}/[A-Za-z0-9_-]{50,}|[a-z0-9-]+\.webhook\.office\.com/webhookb2/[A-Za-z0-9@/-]{40,}|hooks\.zapier\.com/hooks/catch/[A-Za-z0-9/]{8,}|[a-z0-9.-]+\.tines\.com/webhook/[a-z0-9/]{20,})",
        check: |_| true,
    },
    Form {
        detector: "secret/curl-user",
        marks: &["curl"],
        pattern: r#"curl\s[^|]{0,300}?\s(?:-u|--user)[ =]{0,2}["']?[^\s:'"]{0,60}["']?:["']?(?P<value>[^\s'"]{3,100})"#,
        check: real,
    },
    Form {
        detector: "secret/authorization",
        marks: &["uthorization", "AUTHORIZATION", "earer ", "Basic "],
        pattern: r#"(?i)(?:authorization["']?\s{0,3}[:=]\s{0,3}["']?(?:bearer|basic|token|apikey)?\s{0,3}|(?:bearer|basic)\s)(?P<value>[A-Za-z0-9_.~+/=:-]{16,500})"#,
        check: |text| real(text) && super::check::is_random(text),
    },
    Form {
        detector: "secret/mailchimp",
        marks: &["-us"],
        pattern: r"(?-u:\b)[0-9a-f]{32}-us[0-9]{1,2}(?-u:\b)",
        check: real,
    },
    Form {
        detector: "secret/telegram",
        marks: &[":AA"],
        pattern: r"(?-u:\b)\d{8,10}:AA[A-Za-z0-9_-]{32,34}",
        check: |_| true,
    },
    Form {
        detector: "secret/password-hash",
        // Of three letters at least: marks of two would stop the search everywhere.
        marks: &[
            "$2$", "$2a", "$2b", "$2x", "$2y", "$5$", "$6$", "$1$", "$argon2", "$y$", "pbkdf2",
        ],
        pattern: r"\$(?:2[abxy]?\$\d\d\$[A-Za-z0-9./]{53}|[156y]\$[A-Za-z0-9./=,$]{0,40}\$[A-Za-z0-9./]{22,86}|argon2(?:id|i|d)\$v=\d+\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]{8,}\$[A-Za-z0-9+/]{16,})|pbkdf2_sha256\$\d+\$[A-Za-z0-9]{4,}\$[A-Za-z0-9+/=]{20,}",
        check: |_| true,
    },
    Form {
        detector: "secret/connection-string",
        marks: &[
            "AccountKey=",
            "SharedAccessKey=",
            "wd=",
            "assword=",
            "WD=",
            "ASSWORD=",
        ],
        pattern: r"(?i)(?:(?:account|sharedaccess)key=(?P<value>[A-Za-z0-9+/]{40,90}={0,2})|(?:server|data source|host|uid|user id|dsn|driver)\s{0,2}=[^\n]{1,160};\s{0,2}(?:pwd|password)\s{0,2}=\s{0,2}[^;\s'\x22]{3,80})",
        check: real,
    },
    Form {
        detector: "secret/password",
        marks: &[
            "assw",
            "ASSW",
            "pwd",
            "PWD",
            "asskey",
            "ecret",
            "ECRET",
            "asscode",
            "passphrase",
        ],
        pattern: r#"(?i)(?:passw(?:or)?d|pwd|passphrase|passcode|secret)[a-z0-9_-]{0,20}["']?\s{0,3}(?:=>|:=|=|:)\s{0,3}["'](?P<value>[^\s"'<>{}()]{8,80})["']"#,
        check: |text| {
            real(text)
                && text.bytes().any(|b| b.is_ascii_digit())
                && text.bytes().any(|b| b.is_ascii_alphabetic())
                && entropy(text) > 2.8
                && !text.contains("::")
                && !text.ends_with(".com")
        },
    },
    Form {
        detector: "secret/netrc",
        marks: &["machine"],
        pattern: r"machine\s+\S{3,80}\s+login\s+\S{1,80}\s+password\s+(?P<value>\S{3,100})",
        check: real,
    },
    Form {
        detector: "secret/psexec",
        marks: &["psexec", "PsExec", "PSEXEC"],
        pattern: r"(?i)psexec[^\n]{0,120}\s-u\s+\S{1,60}\s+-p\s+(?P<value>\S{3,80})",
        check: real,
    },
    Form {
        detector: "secret/azure",
        marks: &["AzFu", "JQQJ99", "ACDb", "APIM", "AzSe", "+ASt", "8Q~", "7Q~"],
        pattern: r"(?-u:\b)(?:[A-Za-z0-9]{44}AzFu[A-Za-z0-9]{4}=?=?|[A-Za-z0-9]{52}JQQJ99[A-Za-z0-9]{10}AC[A-Za-z0-9]{4,20}|[A-Za-z0-9+/]{40,80}\+?(?:ACDb|ASt|APIM|AzSe)[A-Za-z0-9+/]{4,10}={0,2}|[A-Za-z0-9_~.]{3}[78]Q~[A-Za-z0-9_~.-]{31,34})",
        check: |_| true,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Regression: a credential that something follows, a path's next step or a host's next label, was none.
    #[test]
    fn a_credential_is_found_whatever_stands_beside_it() {
        let prefixes = Prefixes::new();
        for secret in ["ghp_16C7e42F292c6912E7710c838347Ae178B4a", "AKIAQ3EGRZ5LT7XKMV2P"] {
            for around in [
                "X",
                "https://evil.example/X",
                "https://evil.example/X/a",
                "X/x",
                "X/y/z",
                "X.evil.example",
                "a.X.b",
                "X:x",
                "X%20x",
                "a%2FX%2Fb",
                "X-a.evil.example",
                "https://X.evil.example/a/b",
            ] {
                let run = around.replace('X', secret);
                let found = prefixes
                    .find(&run)
                    .and_then(|(from, length, _)| run.get(from..from + length));
                assert!(
                    found.is_some_and(|found| found.contains(secret)),
                    "{run}: {found:?}"
                );
            }
        }
        for run in [
            "https://example.org/a/SK0123456789abcdef0123456789abcdef/b",
            "https://example.org/ghp_short/b",
            "assets/AKIA/1x.png",
            "a.b.c/d:e=f%20g",
        ] {
            assert!(prefixes.find(run).is_none(), "{run}");
        }
    }
}
