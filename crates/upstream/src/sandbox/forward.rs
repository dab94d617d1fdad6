//! The way out of a box: its loopback, and from there to the broker's socket. Whatever a program says there arrives at
//! the broker as it was said; nothing is judged here.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    sync::atomic::{AtomicUsize, Ordering},
};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

/// Connections at a time.
const CONNECTIONS_MAX: usize = 64;

/// A new network namespace has a loopback that is down. Asks the kernel to bring it up (rtnetlink(7)).
pub(super) fn bring_up_loopback() -> io::Result<()> {
    const LENGTH: u32 = 32;
    const NEW_LINK: u16 = 16;
    const REQUEST_ACK: u16 = 5;
    const LOOPBACK: i32 = 1;
    const UP: u32 = 1;
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None,
    )?;
    // `struct nlmsghdr`, then `struct ifinfomsg`.
    let message: Vec<u8> = [
        &LENGTH.to_ne_bytes()[..],
        &NEW_LINK.to_ne_bytes(),
        &REQUEST_ACK.to_ne_bytes(),
        &1_u32.to_ne_bytes(),
        &0_u32.to_ne_bytes(),
        &[0; 4],
        &LOOPBACK.to_ne_bytes(),
        &UP.to_ne_bytes(),
        &UP.to_ne_bytes(),
    ]
    .concat();
    send(&socket, &message, SendFlags::empty())?;
    let mut answer = [0; 256];
    let (read, _) = recv(&socket, &mut answer, RecvFlags::empty())?;
    // `struct nlmsgerr`: the error, or 0.
    let error = answer.get(16..20).filter(|_| read >= 20);
    match error
        .and_then(|bytes| bytes.try_into().ok())
        .map(i32::from_ne_bytes)
    {
        Some(0) => Ok(()),
        Some(error) => Err(io::Error::from_raw_os_error(-error)),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

pub(super) fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

/// Serves until the box ends.
pub(super) fn serve(listener: &TcpListener, socket: &'static str) {
    static OPEN: AtomicUsize = AtomicUsize::new(0);
    for client in listener.incoming().flatten() {
        if OPEN.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
            OPEN.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        std::thread::spawn(move || {
            // Both ends learn of it by their connection's end.
            let _ = carry(&client, socket);
            OPEN.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

fn carry(client: &TcpStream, socket: &str) -> io::Result<()> {
    let broker = UnixStream::connect(socket)?;
    let (from_broker, to_client) = (broker.try_clone()?, client.try_clone()?);
    let back = std::thread::spawn(move || {
        let _ = copy(from_broker, &to_client);
        let _ = to_client.shutdown(Shutdown::Write);
    });
    let _ = copy(client.try_clone()?, &broker);
    let _ = broker.shutdown(Shutdown::Write);
    let _ = back.join();
    Ok(())
}

fn copy(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            read => to.write_all(buffer.get(..read).unwrap_or_default())?,
        }
    }
}
