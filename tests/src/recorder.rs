//! What goes over a wire, taken down on the way: a relay between two programs that believe they speak to each other.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

/// A relay for HTTP. What either side says is kept.
#[derive(Clone, Debug)]
pub struct Recorder {
    address: SocketAddr,
    target: Arc<OnceLock<SocketAddr>>,
    said: Arc<Mutex<Vec<Vec<u8>>>>,
    answered: Arc<Mutex<Vec<u8>>>,
}

impl Recorder {
    /// One on a port of its own, that leads nowhere yet.
    ///
    /// # Panics
    /// When there is no port.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let recorder = Self {
            address: listener.local_addr().expect("an address"),
            target: Arc::default(),
            said: Arc::default(),
            answered: Arc::default(),
        };
        let own = recorder.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let own = own.clone();
                std::thread::spawn(move || own.relay(&stream));
            }
        });
        recorder
    }

    /// One that leads there.
    #[must_use]
    pub fn before(target: SocketAddr) -> Self {
        let recorder = Self::start();
        recorder.lead_to(target);
        recorder
    }

    /// Leads there from now on; can be said once.
    pub fn lead_to(&self, target: SocketAddr) {
        let _ = self.target.set(target);
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every HTTP request so far that has this text in it, head and body.
    #[must_use]
    pub fn requests_with(&self, text: &str) -> Vec<String> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let all = said.iter().map(|bytes| String::from_utf8_lossy(bytes));
        let mut found = Vec::new();
        for connection in all {
            // Each begins with its method; no body in these tests has a line that looks like one.
            let requests = connection.split("POST /");
            found.extend(
                requests
                    .filter(|request| request.contains(text))
                    .map(str::to_owned),
            );
        }
        found
    }

    /// Every byte that the side that connects was answered so far, one connection after the other as they came.
    #[must_use]
    pub fn answered(&self) -> Vec<u8> {
        let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        answered.clone()
    }

    fn relay(&self, client: &TcpStream) {
        let Some(server) = self
            .target
            .get()
            .and_then(|target| TcpStream::connect(target).ok())
        else {
            return;
        };
        let connection = {
            let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            said.push(Vec::new());
            said.len() - 1
        };
        let keep = |bytes: &[u8]| {
            let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(own) = said.get_mut(connection) {
                own.extend_from_slice(bytes);
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                copy(&server, client, |bytes| {
                    let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
                    answered.extend_from_slice(bytes);
                });
            });
            copy(client, &server, keep);
        });
    }
}

/// Copies until one end is closed, and closes the other.
fn copy(mut from: &TcpStream, mut to: &TcpStream, keep: impl Fn(&[u8])) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let bytes = buffer.get(..read).unwrap_or_default();
        keep(bytes);
        if to.write_all(bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
