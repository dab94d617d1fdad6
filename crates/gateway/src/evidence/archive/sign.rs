//! Signing requests to S3 (AWS Signature Version 4), headers alone.
//!
//! Pure. Paths given here need no escaping.

use aws_lc_rs::hmac;
use records::{
    digest::{hex, sha256},
    ledger::entry::rfc3339,
};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Who asks, and where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signer<'s> {
    pub(super) key: &'s str,
    pub(super) secret: &'s [u8],
    pub(super) region: &'s str,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    /// Parameters in their order, escaped.
    pub(super) query: &'a str,
    /// Names in lower case, in their order.
    pub(super) headers: &'a [(&'a str, String)],
    pub(super) body: &'a [u8],
}

/// A time as these requests have it: `20130524T000000Z`.
pub(super) fn stamp(now_ms: u64) -> String {
    let text = rfc3339(now_ms);
    let digits: String = text.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    format!("{}Z", digits.chars().take(15).collect::<String>())
}

/// The digest of a body, which is signed with the rest.
pub(super) fn digest(body: &[u8]) -> String {
    hex(&sha256(&[body]))
}

impl Signer<'_> {
    /// The value of `Authorization` for a request at this time.
    pub(super) fn sign(&self, asked: &Asked<'_>, stamp: &str) -> String {
        let day: String = stamp.chars().take(8).collect();
        let names: Vec<&str> = asked.headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let headers: String = asked
            .headers
            .iter()
            .map(|(name, value)| format!("{name}:{}\n", value.trim()))
            .collect();
        let canonical = format!(
            "{}\n{}\n{}\n{headers}\n{names}\n{}",
            asked.method,
            asked.path,
            asked.query,
            digest(asked.body)
        );
        let scope = format!("{day}/{}/s3/aws4_request", self.region);
        let text = format!("{ALGORITHM}\n{stamp}\n{scope}\n{}", digest(canonical.as_bytes()));
        let mut key = hmac::Key::new(hmac::HMAC_SHA256, &[b"AWS4", self.secret].concat());
        for part in [&day, self.region, "s3", "aws4_request"] {
            key = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref());
        }
        let signature = hex(hmac::sign(&key, text.as_bytes()).as_ref());
        format!(
            "{ALGORITHM} Credential={}/{scope},SignedHeaders={names},Signature={signature}",
            self.key
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Amazon's own example, "GET Object" in "Signature calculations for the Authorization header".
    #[test]
    fn a_request_is_signed_as_amazons_example_is() {
        let stamp = stamp(1_369_353_600_000);
        assert_eq!(stamp, "20130524T000000Z");
        let headers = [
            ("host", "examplebucket.s3.amazonaws.com".to_owned()),
            ("range", "bytes=0-9".to_owned()),
            ("x-amz-content-sha256", digest(b"")),
            ("x-amz-date", stamp.clone()),
        ];
        let signer = Signer {
            key: "AKIAIOSFODNN7EXAMPLE",
            secret: b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            region: "us-east-1",
        };
        let asked = Asked {
            method: "GET",
            path: "/test.txt",
            query: "",
            headers: &headers,
            body: b"",
        };
        assert_eq!(
            signer.sign(&asked, &stamp),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
             SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,\
             Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
    }

    /// Amazon's own example, "Get Bucket (List Objects)", in the same place.
    #[test]
    fn a_list_is_signed_as_amazons_example_is() {
        let headers = [
            ("host", "examplebucket.s3.amazonaws.com".to_owned()),
            ("x-amz-content-sha256", digest(b"")),
            ("x-amz-date", "20130524T000000Z".to_owned()),
        ];
        let signer = Signer {
            key: "AKIAIOSFODNN7EXAMPLE",
            secret: b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            region: "us-east-1",
        };
        let asked = Asked {
            method: "GET",
            path: "/",
            query: "max-keys=2&prefix=J",
            headers: &headers,
            body: b"",
        };
        let signed = signer.sign(&asked, "20130524T000000Z");
        assert!(signed.ends_with("34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"));
    }
}
