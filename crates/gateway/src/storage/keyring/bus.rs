//! The session's bus: one connection, calls one after the other (D-Bus specification 0.43).
//!
//! It must not know what is called, nor wait for anybody for ever.

use std::{
    io::{Read as _, Write as _},
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixStream},
    },
    path::PathBuf,
    time::{Duration, Instant},
};

use super::{
    KeyringError,
    wire::{Answer, Body, HEAD_BYTES, MESSAGE_BYTES_MAX, Message},
};

/// How long the bus, or whoever is called, may take.
const WAIT: Duration = Duration::from_secs(10);
/// The longest line of the beginning, in bytes.
const LINE_BYTES_MAX: usize = 1024;

/// Why a call has no answer.
pub(super) enum CallError {
    /// The connection is of no use.
    Lost(KeyringError),
    /// Whoever is called refuses, by the name of an error.
    Refused(String),
}

/// A connection.
pub(super) struct Bus {
    stream: UnixStream,
    serial: u32,
    end: Instant,
}

impl Bus {
    /// Connects to the bus of this session.
    pub(super) fn connect() -> Result<Self, KeyringError> {
        let stream = address()?;
        let mut bus = Self {
            stream,
            serial: 0,
            end: Instant::now() + WAIT,
        };
        bus.say_who_we_are().map_err(|error| lost(&error))?;
        let hello = bus.call(
            "org.freedesktop.DBus",
            "/org/freedesktop/DBus",
            ("org.freedesktop.DBus", "Hello"),
            Body::new(""),
        );
        match hello {
            Ok(_) => Ok(bus),
            Err(CallError::Lost(error)) => Err(error),
            Err(CallError::Refused(name)) => Err(lost(&std::io::Error::other(name))),
        }
    }

    /// By our user id, which the socket itself vouches for (`EXTERNAL`).
    fn say_who_we_are(&mut self) -> std::io::Result<()> {
        let user = rustix::process::geteuid().as_raw().to_string();
        let digits = records::digest::hex(user.as_bytes());
        self.stream.set_write_timeout(Some(WAIT))?;
        self.stream
            .write_all(format!("\0AUTH EXTERNAL {digits}\r\n").as_bytes())?;
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            self.read_exact(&mut byte)?;
            line.extend_from_slice(&byte);
            if line.len() > LINE_BYTES_MAX {
                return Err(std::io::Error::other("an endless line"));
            }
        }
        if !line.starts_with(b"OK ") {
            return Err(std::io::Error::other("it does not let this user in"));
        }
        self.stream.write_all(b"BEGIN\r\n")
    }

    /// Calls a method and waits for its answer; what else comes meanwhile is nothing to us.
    pub(super) fn call(
        &mut self,
        destination: &str,
        path: &str,
        (interface, member): (&str, &str),
        body: Body,
    ) -> Result<Answer, CallError> {
        self.serial += 1;
        let call = body.call(self.serial, [destination, path, interface, member]);
        let lost = |error: std::io::Error| CallError::Lost(lost(&error));
        self.stream.write_all(&call).map_err(lost)?;
        loop {
            match self.message().map_err(lost)? {
                Message::Return { to, answer } if to == self.serial => return Ok(answer),
                Message::Error { to, name } if to == self.serial => return Err(CallError::Refused(name)),
                Message::Return { .. } | Message::Error { .. } | Message::Other => {}
            }
        }
    }

    fn message(&mut self) -> std::io::Result<Message> {
        let garbled = || std::io::Error::other("what it says cannot be read");
        let mut head = [0; HEAD_BYTES];
        self.read_exact(&mut head)?;
        let rest = Message::rest(&head).ok_or_else(garbled)?;
        if rest > MESSAGE_BYTES_MAX {
            return Err(std::io::Error::other("its message is too long"));
        }
        let mut whole = zeroize::Zeroizing::new(head.to_vec());
        whole.resize(HEAD_BYTES + rest, 0);
        self.read_exact(whole.get_mut(HEAD_BYTES..).unwrap_or_default())?;
        Message::parse(whole).ok_or_else(garbled)
    }

    /// Reads so much, until the time of the whole connection is over.
    fn read_exact(&mut self, buffer: &mut [u8]) -> std::io::Result<()> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        self.stream.read_exact(buffer)
    }
}

/// The socket that the environment names, or the one where sessions have it.
fn address() -> Result<UnixStream, KeyringError> {
    let none = || {
        KeyringError::new(
            "there is no session bus, and so no keyring",
            "start the gateway in the session of whoever has the keyring (DBUS_SESSION_BUS_ADDRESS), or use \
             `env:NAME` or `file:PATH`",
        )
    };
    let named = std::env::var("DBUS_SESSION_BUS_ADDRESS").ok();
    let addresses = named.filter(|text| !text.is_empty()).or_else(|| {
        let directory = std::env::var_os("XDG_RUNTIME_DIR").filter(|text| !text.is_empty())?;
        Some(format!(
            "unix:path={}",
            PathBuf::from(directory).join("bus").display()
        ))
    });
    let addresses = addresses.ok_or_else(none)?;
    let mut failed = None;
    for address in addresses.split(';') {
        match open(address) {
            Some(Ok(stream)) => return Ok(stream),
            Some(Err(error)) => failed = Some(error),
            None => {}
        }
    }
    Err(failed.map_or_else(none, |error| lost(&error)))
}

/// One of several addresses; none where it is of a kind that this does not speak.
fn open(address: &str) -> Option<std::io::Result<UnixStream>> {
    let parameters = address.strip_prefix("unix:")?;
    parameters
        .split(',')
        .find_map(|parameter| match parameter.split_once('=')? {
            ("path", path) => Some(UnixStream::connect(unescaped(path)?)),
            ("abstract", name) => {
                let address = SocketAddr::from_abstract_name(unescaped(name)?);
                Some(address.and_then(|address| UnixStream::connect_addr(&address)))
            }
            _ => None,
        })
}

/// `%2d` and the like.
fn unescaped(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(part.get(2..)?.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

fn lost(error: &std::io::Error) -> KeyringError {
    KeyringError::new(
        format!("the session bus, where the keyring is, does not answer: {error}"),
        "log in anew, or use `env:NAME` or `file:PATH`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_have_escaped_bytes_and_other_kinds_are_none() {
        assert_eq!(unescaped("/run/user/1/a%20b").as_deref(), Some("/run/user/1/a b"));
        assert_eq!(unescaped("/a%2"), None);
        assert!(open("tcp:host=localhost,port=1").is_none());
        assert!(open("unix:path=/nowhere/at/all,guid=0").unwrap().is_err());
    }
}
