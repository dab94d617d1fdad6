//! Connections to servers, each driven by whoever waits for an answer over it.
//!
//! A task of its own for each connection would cost every request two changes of task on its way out and two on its
//! way back. So a connection is moved on by the request it carries, and by the body of the answer while that is read;
//! between two requests it lies in the pool, and nobody moves it.

use std::{
    collections::HashMap,
    fmt,
    future::{Future, poll_fn},
    hash::{Hash, Hasher},
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response, Uri,
    body::{Body, Frame, Incoming, SizeHint},
    client::conn::http1::{self, SendRequest},
    http::uri::{Authority, Scheme},
};
use pipeline::{Tls, ports::Boxed};

use super::connector::Noted;

/// Most connections to one origin that lie in the pool.
const IDLE_MAX: usize = 256;
/// How long a connection lies in the pool at most, and how often it is looked through.
const IDLE_WAIT: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_secs(10);

/// To whom a connection goes.
#[derive(Clone, Eq, PartialEq)]
pub(super) struct Origin {
    scheme: Scheme,
    authority: Authority,
}

/// Each call asks for it several times, and the libraries hash each letter alone. The authority does: a host is asked for
/// over one scheme nearly always.
impl Hash for Origin {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for part in self.authority.as_str().as_bytes().chunks(8) {
            // Letters are equal in either case; other bytes may get the same number, which only costs a comparison.
            let number = part
                .iter()
                .fold(0, |number, byte| (number << 8) | u64::from(byte | 0x20));
            state.write_u64(number);
        }
    }
}

/// Connections that nobody uses now.
#[derive(Clone, Default)]
pub(super) struct Pool(Arc<Mutex<Idle>>);

#[derive(Default)]
struct Idle {
    lanes: HashMap<Origin, Vec<(Instant, Lane)>>,
    is_watched: bool,
}

/// One connection.
pub(super) struct Lane {
    sender: SendRequest<Full<Bytes>>,
    /// What moves it on; over when the connection is.
    driver: Boxed<'static, hyper::Result<()>>,
    tls: Option<Tls>,
    origin: Origin,
}

/// What became of a request.
pub(super) enum Sent {
    Answered(Response<Answered>),
    /// The server never saw it: the connection was over.
    Unsent(Request<Full<Bytes>>, hyper::Error),
    Failed(hyper::Error),
}

/// The body of an answer, with the connection it comes over.
pub(crate) struct Answered {
    body: Option<Incoming>,
    /// None when it is over, or back in the pool.
    lane: Option<Lane>,
    pool: Pool,
}

impl Pool {
    /// A connection to this origin on which nothing is under way.
    pub(super) fn take(&self, origin: &Origin) -> Option<Lane> {
        let now = Instant::now();
        loop {
            let (since, mut lane) = self.lock().lanes.get_mut(origin)?.pop()?;
            // The last that came is the youngest: what is older than this is swept.
            if now.duration_since(since) < IDLE_WAIT && lane.stands() {
                return Some(lane);
            }
        }
    }

    fn put(&self, lane: Lane) {
        let mut idle = self.lock();
        let lanes = idle.lanes.entry(lane.origin.clone()).or_default();
        if lanes.len() >= IDLE_MAX {
            return;
        }
        lanes.push((Instant::now(), lane));
        if !idle.is_watched && tokio::runtime::Handle::try_current().is_ok() {
            idle.is_watched = true;
            tokio::spawn(sweep(Arc::downgrade(&self.0)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes connections that lay in a pool for long, or that their servers have closed, until it is empty.
async fn sweep(pool: Weak<Mutex<Idle>>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut idle = pool.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        idle.lanes.retain(|_, lanes| {
            lanes.retain_mut(|(since, lane)| now.duration_since(*since) < IDLE_WAIT && lane.stands());
            !lanes.is_empty()
        });
        if idle.lanes.is_empty() {
            idle.is_watched = false;
            return;
        }
    }
}

impl Lane {
    /// Takes a connection that stands.
    pub(super) async fn over(io: Noted, tls: Option<Tls>, origin: Origin) -> hyper::Result<Self> {
        let (sender, connection) = http1::handshake(io).await?;
        Ok(Self {
            sender,
            driver: Box::pin(connection.with_upgrades()),
            tls,
            origin,
        })
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(mut self, request: Request<Full<Bytes>>, pool: &Pool) -> Sent {
        let mut over = false;
        let answered = {
            let mut answering = pin!(self.sender.try_send_request(request));
            let driver = &mut self.driver;
            poll_fn(|cx| {
                if !over {
                    over = driver.as_mut().poll(cx).is_ready();
                }
                answering.as_mut().poll(cx)
            })
            .await
        };
        match answered {
            Ok(response) => {
                let mut response = response.map(|body| Answered {
                    body: Some(body),
                    lane: None,
                    pool: pool.clone(),
                });
                if let Some(tls) = &self.tls {
                    response.extensions_mut().insert(tls.clone());
                }
                response.body_mut().lane = (!over).then_some(self);
                Sent::Answered(response)
            }
            Err(mut error) => match error.take_message() {
                Some(request) => Sent::Unsent(request, error.into_error()),
                None => Sent::Failed(error.into_error()),
            },
        }
    }

    /// Whether a request can be sent over it now. Nobody is woken when that changes.
    fn stands(&mut self) -> bool {
        let mut unheard = Context::from_waker(Waker::noop());
        self.driver.as_mut().poll(&mut unheard).is_pending() && self.sender.is_ready()
    }
}

impl Answered {
    /// The answer is over, or nobody reads on: a connection on which nothing is under way can be used again.
    fn let_go(&mut self) {
        // What nobody reads, the connection must not wait for.
        self.body = None;
        if let Some(mut lane) = self.lane.take()
            && lane.stands()
        {
            self.pool.put(lane);
        }
    }
}

impl Body for Answered {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let frame = loop {
            let Some(body) = &mut this.body else {
                return Poll::Ready(None);
            };
            if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) {
                break frame;
            }
            // It came as far as it was read; the connection may have more.
            let Some(lane) = &mut this.lane else {
                return Poll::Pending;
            };
            if lane.driver.as_mut().poll(cx).is_ready() {
                this.lane = None;
            } else if let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) {
                break frame;
            } else {
                return Poll::Pending;
            }
        };
        let is_last = frame.is_none() || this.body.as_ref().is_none_or(Body::is_end_stream);
        if is_last {
            this.let_go();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// Scheme and authority of a URL; none where it lacks one.
pub(super) fn origin(url: &Uri) -> Option<Origin> {
    Some(Origin {
        scheme: url.scheme()?.clone(),
        authority: url.authority()?.clone(),
    })
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count: usize = self.lock().lanes.values().map(Vec::len).sum();
        write!(f, "Pool({count})")
    }
}

impl fmt::Debug for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answered").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http_body_util::BodyExt;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::{Protection, http::Client};

    /// Answers each request of a connection with the next of these; then closes it.
    async fn serve(mut stream: TcpStream, answers: &'static [&'static str]) {
        for answer in answers {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => return,
                }
            }
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }

    /// A server, and how many connections it has taken.
    async fn server(answers: &'static [&'static str]) -> (Uri, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let taken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&taken);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, answers));
            }
        });
        (url.parse().unwrap(), taken)
    }

    fn get(url: &Uri) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::default());
        *request.uri_mut() = url.clone();
        request
    }

    async fn said(client: &Client, url: &Uri) -> Result<String, String> {
        let response = client.send(get(url)).await.map_err(|error| error.to_string())?;
        let body = response.into_body().collect().await;
        let bytes = body.map_err(|error| error.to_string())?.to_bytes();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    const WHOLE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\none";
    const CHUNKS: &str =
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n";
    const TAKEN: &str = "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n";
    const ENDLESS: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n";
    const TORN: &str = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\none";
    const LAST: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 3\r\n\r\none";

    #[test]
    fn a_host_is_the_same_however_its_letters_are_written() {
        let of = |url: &str| origin(&url.parse().unwrap()).unwrap();
        let mut known = HashMap::from([(of("http://Some-Host.example:8080/mcp"), ())]);
        assert!(known.remove(&of("http://some-host.EXAMPLE:8080/")).is_some());
        known.insert(of("http://some-host.example/"), ());
        assert!(known.remove(&of("https://some-host.example/")).is_none());
        assert!(known.remove(&of("http://some-host.example:8080/")).is_none());
    }

    #[tokio::test]
    async fn a_connection_serves_one_request_after_the_other() {
        let (url, taken) = server(&[WHOLE, CHUNKS, TAKEN, WHOLE]).await;
        let client = Client::new(&Protection::default()).unwrap();
        assert_eq!(said(&client, &url).await.unwrap(), "one");
        assert_eq!(said(&client, &url).await.unwrap(), "onetwo");
        // Nobody reads that there is nothing.
        drop(client.send(get(&url)).await.unwrap());
        assert_eq!(said(&client, &url).await.unwrap(), "one");
        assert_eq!(taken.load(Ordering::SeqCst), 1);
        // It was closed behind the fourth answer.
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(said(&client, &url).await.unwrap(), "one");
        assert_eq!(taken.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn an_answer_that_is_given_up_takes_its_connection_with_it() {
        let (url, taken) = server(&[ENDLESS, WHOLE]).await;
        let client = Client::new(&Protection::default()).unwrap();
        let mut answer = client.send(get(&url)).await.unwrap();
        assert!(answer.body_mut().frame().await.unwrap().is_ok());
        drop(answer);
        drop(client.send(get(&url)).await.unwrap());
        assert_eq!(taken.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_torn_answer_is_no_answer_and_no_request_is_sent_twice() {
        let (url, taken) = server(&[TORN]).await;
        let client = Client::new(&Protection::default()).unwrap();
        assert!(said(&client, &url).await.is_err());
        assert_eq!(taken.load(Ordering::SeqCst), 1);
        let (url, taken) = server(&[LAST, WHOLE]).await;
        assert_eq!(said(&client, &url).await.unwrap(), "one");
        assert_eq!(said(&client, &url).await.unwrap(), "one");
        assert_eq!(taken.load(Ordering::SeqCst), 2);
        // Whether it took the request that it does not answer is not known.
        let (url, taken) = server(&[]).await;
        assert!(said(&client, &url).await.is_err());
        assert_eq!(taken.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn two_requests_at_a_time_have_a_connection_each() {
        let (url, taken) = server(&[CHUNKS, CHUNKS]).await;
        let client = Client::new(&Protection::default()).unwrap();
        let both = tokio::join!(said(&client, &url), said(&client, &url));
        assert_eq!(both, (Ok("onetwo".to_owned()), Ok("onetwo".to_owned())));
        assert_eq!(taken.load(Ordering::SeqCst), 2);
    }
}
