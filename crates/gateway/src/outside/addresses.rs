//! Addresses that somebody else chose: what kind they are, and connecting to those that were looked at.
//!
//! INVARIANT (address): who connects resolves a name once, looks at every address it has, and connects to one of those
//! looked at; nothing is resolved again between check and use.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::net::TcpStream;

/// How long one of a host's addresses may take to answer, so that there is time for the others.
const CONNECT_WAIT: Duration = Duration::from_secs(3);

/// Connects to the first of these that answers.
pub(crate) async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, String> {
    let mut why = "its host has no address".to_owned();
    for address in addresses {
        match tokio::time::timeout(CONNECT_WAIT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => why = error.to_string(),
            Err(_) => why = format!("{address} does not answer"),
        }
    }
    Err(why)
}

/// Whose address it is, as far as counting goes: one subscriber has 2^64 of IPv6.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// Whether it is an address of this machine, which may be a public one: whoever is behind it counts on being asked by
/// strangers, but not from inside. A socket for datagrams that is connected has sent nothing; the kernel chose from
/// where it would.
pub(crate) fn is_here(address: IpAddr) -> bool {
    let any = match address {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let from = std::net::UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((address, 9))?;
        socket.local_addr()
    });
    from.is_ok_and(|from| from.ip() == address)
}

/// What kind of address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// This machine.
    Loopback,
    /// Neighbours that answer whoever asks (a cloud's metadata is one), groups, and what is no address of anybody.
    Never,
    /// A network of one's own.
    Private,
    /// Anybody's.
    Public,
}

/// The kind of an address.
pub(crate) fn kind(address: IpAddr) -> Kind {
    match address {
        IpAddr::V4(address) => kind_4(address),
        IpAddr::V6(address) => kind_6(address),
    }
}

/// The registry of RFC 6890, as IANA has it.
fn kind_4(address: Ipv4Addr) -> Kind {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        (127, _, _) => Kind::Loopback,
        (10, _, _) | (172, 16..=31, _) | (192, 168, _) | (100, 64..=127, _) => Kind::Private,
        (0 | 224..=255, _, _)
        | (169, 254, _)
        | (192, 0, 0 | 2)
        | (192, 88, 99)
        | (198, 18 | 19, _)
        | (198, 51, 100)
        | (203, 0, 113) => Kind::Never,
        _ => Kind::Public,
    }
}

fn kind_6(address: Ipv6Addr) -> Kind {
    let [a, b, ..] = address.segments();
    match (a, b) {
        _ if address.is_loopback() => Kind::Loopback,
        (0xFC00..=0xFDFF, _) => Kind::Private,
        // Global unicast, without protocol assignments, documentation and what has an IPv4 address inside.
        (0x2001, 0..=0x01FF | 0x0DB8) | (0x2002, _) | (0x3FFF, 0..=0x0FFF) => Kind::Never,
        (0x2000..=0x3FFF, _) => Kind::Public,
        _ => Kind::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, connect, kind};

    #[tokio::test]
    async fn each_address_of_a_host_is_tried() {
        let here = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = here.local_addr().expect("an address");
        // Nobody listens at this address of this machine.
        let nobody = std::net::SocketAddr::from(([127, 99, 99, 99], address.port()));
        let stream = connect(&[nobody, address]).await.expect("connected");
        assert_eq!(stream.peer_addr().expect("an address"), address);
        assert!(connect(&[nobody]).await.is_err());
        assert!(connect(&[]).await.expect_err("none").contains("no address"));
    }

    #[test]
    fn addresses_are_told_apart() {
        for (text, wanted) in [
            ("127.0.0.1", Kind::Loopback),
            ("127.255.255.254", Kind::Loopback),
            ("::1", Kind::Loopback),
            ("::ffff:127.0.0.1", Kind::Loopback),
            ("10.1.2.3", Kind::Private),
            ("172.16.0.1", Kind::Private),
            ("172.32.0.1", Kind::Public),
            ("192.168.1.1", Kind::Private),
            ("100.64.0.1", Kind::Private),
            ("::ffff:10.0.0.1", Kind::Private),
            ("fd00::1", Kind::Private),
            ("169.254.169.254", Kind::Never),
            ("::ffff:169.254.169.254", Kind::Never),
            ("fe80::1", Kind::Never),
            ("0.0.0.0", Kind::Never),
            ("::", Kind::Never),
            ("224.0.0.1", Kind::Never),
            ("255.255.255.255", Kind::Never),
            ("198.18.0.1", Kind::Never),
            ("2002:7f00:1::", Kind::Never),
            ("64:ff9b::7f00:1", Kind::Never),
            ("2001:db8::1", Kind::Never),
            ("ff02::1", Kind::Never),
            ("8.8.8.8", Kind::Public),
            ("2606:4700::1111", Kind::Public),
        ] {
            let address: std::net::IpAddr = text.parse().expect("an address");
            assert_eq!(kind(address.to_canonical()), wanted, "{text}");
        }
    }
}
