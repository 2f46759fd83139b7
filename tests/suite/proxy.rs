//! A port in front of a database or another server; a test decides what the link does with the bytes.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use crate::harness::PgDatabase;

/// The link's treatment of the bytes between the service and its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    Open,
    /// Bytes are lost and connections stay open. A connection that lost bytes stays silent, because TCP delivers
    /// nothing after a gap.
    BlackHole,
    /// The database's answers arrive later.
    Delayed(Duration),
    /// Every byte is a segment of its own.
    Sliced,
    /// This many bytes of a statement reach the database, then the connection is reset.
    CutAfter(usize),
    /// A statement with its values reaches the database, and the connection is reset when the answer comes.
    AnswerLost,
    /// These bytes arrive in place of each of the server's answers.
    Nonsense(&'static str),
}

/// A request with more bytes than this holds the values of a batch. Preparing a statement takes fewer bytes.
const STATEMENT_WITH_VALUES: usize = 1000;

#[derive(Clone)]
struct Controls {
    link: watch::Sender<Link>,
    forgotten: watch::Sender<usize>,
    resets: watch::Sender<usize>,
    cuts: watch::Sender<usize>,
}

pub struct Proxy {
    address: SocketAddr,
    target: String,
    controls: Controls,
    running: Option<JoinHandle<()>>,
}

/// Host and port of a database's address.
fn target(url: &str) -> String {
    let url = url::Url::parse(url).unwrap();
    format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5432))
}

impl Proxy {
    /// Reserves a port for a way to the database's server. Nothing listens there yet.
    pub async fn to(database: &PgDatabase) -> Self {
        Self::to_address(target(&database.url)).await
    }

    /// As [`Self::to`], in front of any server.
    pub async fn to_address(target: String) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let controls = Controls {
            link: watch::Sender::new(Link::Open),
            forgotten: watch::Sender::new(0),
            resets: watch::Sender::new(0),
            cuts: watch::Sender::new(0),
        };
        Self { address, target, controls, running: None }
    }

    pub fn url(&self, database: &PgDatabase) -> String {
        database.url_with(|url| {
            url.set_host(Some("127.0.0.1")).unwrap();
            url.set_port(Some(self.address.port())).unwrap();
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub async fn up(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        let (target, controls) = (self.target.clone(), self.controls.clone());
        self.running = Some(tokio::spawn(async move {
            // Dropping the set with this task cuts every connection.
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let (target, controls) = (target.clone(), controls.clone());
                connections.spawn(async move {
                    // A database that is down closes the client's connection.
                    if let Ok(server) = TcpStream::connect(target).await {
                        let forgotten = *controls.forgotten.borrow();
                        Connection { controls, forgotten, swallowed: false, unanswered: 0 }.carry(client, server).await;
                    }
                });
            }
        }));
    }

    pub async fn down(&mut self) {
        let running = self.running.take().expect("it is up");
        running.abort();
        let _ = running.await;
    }

    pub fn set(&self, link: Link) {
        self.controls.link.send_replace(link);
    }

    /// Leads to another server from now on. The connections to the former one are cut.
    pub async fn lead_to(&mut self, url: &str) {
        self.down().await;
        self.target = target(url);
        self.up().await;
    }

    /// Resets every connection; new ones are accepted.
    pub fn reset(&self) {
        self.controls.resets.send_modify(|resets| *resets += 1);
    }

    /// Makes every connection silent for ever, as a firewall does that has forgotten them. New connections work.
    pub fn forget(&self) {
        self.controls.forgotten.send_modify(|times| *times += 1);
    }

    /// Returns once `more` connections have been cut by [`Link::CutAfter`] or [`Link::AnswerLost`].
    pub async fn cuts(&self, more: usize) {
        let enough = self.cuts_so_far() + more;
        self.controls.cuts.subscribe().wait_for(|cuts| *cuts >= enough).await.unwrap();
    }

    fn cuts_so_far(&self) -> usize {
        *self.controls.cuts.borrow()
    }
}

struct Connection {
    controls: Controls,
    /// The number of times that connections had been forgotten when this one began.
    forgotten: usize,
    /// True if a byte was lost.
    swallowed: bool,
    /// Bytes sent to the database since it last answered.
    unanswered: usize,
}

impl Connection {
    /// Carries bytes until one side closes, an error comes up or the connection is cut.
    async fn carry(mut self, mut client: TcpStream, mut server: TcpStream) {
        let mut resets = self.controls.resets.subscribe();
        let (mut from_client, mut from_server) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
        for stream in [&client, &server] {
            stream.set_nodelay(true).unwrap();
        }
        loop {
            let passed = tokio::select! {
                _ = resets.changed() => Ok(Passed::Cut),
                read = client.read(&mut from_client) => match read {
                    Ok(length @ 1..) => self.towards_server(&mut server, &from_client[..length]).await,
                    // A firewall that has forgotten a connection does not pass its end on to the server.
                    _ if self.is_forgotten() => {
                        while server.read(&mut from_server).await.is_ok_and(|length| length > 0) {}
                        return;
                    }
                    _ => return,
                },
                read = server.read(&mut from_server) => match read {
                    Ok(length @ 1..) => self.towards_client(&mut client, &from_server[..length]).await,
                    _ => return,
                },
            };
            match passed {
                Ok(Passed::On) => {}
                Ok(Passed::Cut) => {
                    for stream in [&client, &server] {
                        let _ = stream.set_zero_linger();
                    }
                    return;
                }
                Err(_) => return,
            }
        }
    }

    async fn towards_server(&mut self, server: &mut TcpStream, bytes: &[u8]) -> io::Result<Passed> {
        let before = self.unanswered;
        self.unanswered += bytes.len();
        match self.link() {
            Link::CutAfter(most) if self.unanswered > most => {
                server.write_all(&bytes[..most.saturating_sub(before)]).await?;
                Ok(self.cut())
            }
            link => self.pass(link, server, bytes).await,
        }
    }

    async fn towards_client(&mut self, client: &mut TcpStream, bytes: &[u8]) -> io::Result<Passed> {
        let asked = std::mem::take(&mut self.unanswered);
        match self.link() {
            Link::AnswerLost if asked > STATEMENT_WITH_VALUES => Ok(self.cut()),
            Link::Nonsense(text) => self.pass(Link::Open, client, text.as_bytes()).await,
            Link::Delayed(by) => {
                sleep(by).await;
                self.pass(Link::Open, client, bytes).await
            }
            link => self.pass(link, client, bytes).await,
        }
    }

    async fn pass(&mut self, link: Link, to: &mut TcpStream, bytes: &[u8]) -> io::Result<Passed> {
        self.swallowed |= link == Link::BlackHole || self.is_forgotten();
        if !self.swallowed {
            let segment = if link == Link::Sliced { 1 } else { bytes.len() };
            for segment in bytes.chunks(segment) {
                to.write_all(segment).await?;
            }
        }
        Ok(Passed::On)
    }

    fn is_forgotten(&self) -> bool {
        *self.controls.forgotten.borrow() > self.forgotten
    }

    fn link(&self) -> Link {
        *self.controls.link.borrow()
    }

    fn cut(&self) -> Passed {
        self.controls.cuts.send_modify(|cuts| *cuts += 1);
        Passed::Cut
    }
}

/// The result of passing some bytes on.
enum Passed {
    On,
    Cut,
}
