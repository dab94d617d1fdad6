//! What a program says to a proxy before its bytes pass: HTTP (RFC 9110, section 9.3.6; RFC 9112, section 3.2.2) and
//! SOCKS 5 (RFC 1928).

use std::net::{Ipv4Addr, Ipv6Addr};

use hyper::Uri;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

/// The longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const SOCKS: u8 = 5;

/// Where a program wants to.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Wanted {
    pub(super) host: String,
    pub(super) port: u16,
    manner: Manner,
}

/// How it asked.
#[derive(Debug, Eq, PartialEq)]
enum Manner {
    Connect,
    /// HTTP without TLS: this goes to the server first.
    Plain(Vec<u8>),
    Socks,
}

/// Hears where a program wants to.
pub(super) async fn hear(stream: &mut UnixStream) -> std::io::Result<Result<Wanted, &'static str>> {
    let first = stream.read_u8().await?;
    if first == SOCKS {
        return socks(stream).await;
    }
    let mut head = vec![first];
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > HEAD_BYTES_MAX {
            return Ok(Err("its request is too long"));
        }
        // A byte a time: what comes after the head is for the server.
        head.push(stream.read_u8().await?);
    }
    Ok(http(&head))
}

fn http(head: &[u8]) -> Result<Wanted, &'static str> {
    let bad = "its request is neither HTTP nor SOCKS 5";
    let text = std::str::from_utf8(head).map_err(|_| bad)?;
    // Readers differ in what a line end alone means (RFC 9112, section 2.2), and in folded fields (section 5.2).
    let lines = text.replace("\r\n", "");
    if lines.contains(['\r', '\n', '\0']) || text.contains("\r\n ") || text.contains("\r\n\t") {
        return Err(bad);
    }
    let (line, fields) = text.split_once("\r\n").ok_or(bad)?;
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(bad);
    };
    if !version.starts_with("HTTP/1.") {
        return Err(bad);
    }
    let uri: Uri = target.parse().map_err(|_| bad)?;
    let host = uri.host().ok_or("it names no host")?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    if method == "CONNECT" {
        return Ok(Wanted {
            host,
            port: uri.port_u16().ok_or("it names no port")?,
            manner: Manner::Connect,
        });
    }
    if uri.scheme_str() != Some("http") {
        return Err("only `http` URLs are asked for without CONNECT");
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    // One request a connection: the next may be for another host.
    let kept = fields.split("\r\n").filter(|field| {
        let name = field.split(':').next().unwrap_or_default().to_ascii_lowercase();
        !field.is_empty()
            && !matches!(
                name.trim(),
                "connection" | "host" | "keep-alive" | "proxy-connection" | "proxy-authorization" | "upgrade"
            )
    });
    // The host that was judged, whatever the program says under `Host` (RFC 9112, section 3.2.2).
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let authority = authority.rsplit('@').next().unwrap_or(authority);
    let mut first = format!("{method} {path} {version}\r\nHost: {authority}\r\n");
    for field in kept {
        first.push_str(field);
        first.push_str("\r\n");
    }
    first.push_str("Connection: close\r\n\r\n");
    Ok(Wanted {
        host,
        port: uri.port_u16().unwrap_or(80),
        manner: Manner::Plain(first.into_bytes()),
    })
}

async fn socks(stream: &mut UnixStream) -> std::io::Result<Result<Wanted, &'static str>> {
    let mut methods = vec![0; usize::from(stream.read_u8().await?)];
    stream.read_exact(&mut methods).await?;
    if !methods.contains(&0) {
        stream.write_all(&[SOCKS, 0xFF]).await?;
        return Ok(Err("it offers no SOCKS method without authentication"));
    }
    stream.write_all(&[SOCKS, 0]).await?;
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let host = match head {
        [SOCKS, 1, _, 1] => Ipv4Addr::from(stream.read_u32().await?).to_string(),
        [SOCKS, 1, _, 3] => {
            let mut name = vec![0; usize::from(stream.read_u8().await?)];
            stream.read_exact(&mut name).await?;
            String::from_utf8_lossy(&name).into_owned()
        }
        [SOCKS, 1, _, 4] => Ipv6Addr::from(stream.read_u128().await?).to_string(),
        _ => return Ok(Err("only SOCKS 5 CONNECT is served")),
    };
    Ok(Ok(Wanted {
        host,
        port: stream.read_u16().await?,
        manner: Manner::Socks,
    }))
}

impl Wanted {
    /// What is sent before anything else.
    pub(super) fn first(&self) -> &[u8] {
        match &self.manner {
            Manner::Plain(first) => first,
            Manner::Connect | Manner::Socks => &[],
        }
    }

    /// Tells the program that it is connected; gives what is to be sent first.
    pub(super) async fn accept(&self, stream: &mut UnixStream) -> std::io::Result<&[u8]> {
        match &self.manner {
            Manner::Connect => {
                stream
                    .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    .await?
            }
            Manner::Plain(_) => {}
            Manner::Socks => stream.write_all(&[SOCKS, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?,
        }
        Ok(self.first())
    }

    /// Tells it why not.
    pub(super) async fn refuse(&self, stream: &mut UnixStream, why: &str) -> std::io::Result<()> {
        match self.manner {
            Manner::Connect | Manner::Plain(_) => refuse(stream, why).await,
            // "Connection not allowed by ruleset".
            Manner::Socks => stream.write_all(&[SOCKS, 2, 0, 1, 0, 0, 0, 0, 0, 0]).await,
        }
    }
}

pub(super) async fn refuse(stream: &mut UnixStream, why: &str) -> std::io::Result<()> {
    let body = format!("sallyport: {why}\n");
    let answer = format!(
        "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await
}

#[cfg(test)]
mod tests {
    use super::{Manner, http};

    #[test]
    fn requests_are_read() {
        let wanted = http(b"CONNECT api.github.com:443 HTTP/1.1\r\nHost: x\r\n\r\n").expect("a request");
        assert_eq!((wanted.host.as_str(), wanted.port), ("api.github.com", 443));
        let wanted =
            http(b"GET http://a.example/x?y HTTP/1.1\r\nHost: b.example\r\nAccept: c\r\nProxy-Authorization: z\r\n\r\n");
        let wanted = wanted.expect("a request");
        let Manner::Plain(first) = &wanted.manner else {
            panic!("{wanted:?}")
        };
        let first = String::from_utf8_lossy(first);
        assert_eq!(
            first,
            "GET /x?y HTTP/1.1\r\nHost: a.example\r\nAccept: c\r\nConnection: close\r\n\r\n"
        );
        for bad in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET https://a.example/ HTTP/1.1\r\n\r\n",
            "CONNECT a.example HTTP/1.1\r\n\r\n",
            "hello\r\n\r\n",
            "CONNECT a:443 HTTP/1.1 x\r\n\r\n",
            "GET http://a.example/ HTTP/1.1\r\nX: y\nHost: b.example\r\n\r\n",
            "GET http://a.example/ HTTP/1.1\r\nX: y\rHost: b.example\r\n\r\n",
            "GET http://a.example/ HTTP/1.1\r\nX: y\r\n Host: b.example\r\n\r\n",
        ] {
            assert!(http(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
