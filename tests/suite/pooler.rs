//! A pooler for PostgreSQL connections, like those of cloud providers: it silently swaps server connections between
//! transactions, and prepares a client's statements again on the connection that it picks, so that nothing fails.
//!
//! It passes each client's login on to the server unchanged. The resulting connection serves the next client, as far as
//! the pool has room.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::harness::PgDatabase;

/// The rule by which a transaction gets one of the free connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The most recently used one, like PgBouncer.
    LastUsed,
    /// The one that has been free for longest, in turn.
    LongestFree,
    /// The client's own, for as long as the client stays.
    OwnForTheSession,
}

pub struct Pooler {
    address: SocketAddr,
    pool: Arc<Pool>,
    _running: JoinSet<()>,
}

struct Pool {
    choice: Choice,
    size: usize,
    target: String,
    free: Mutex<Vec<Server>>,
    open: Mutex<usize>,
    freed: Notify,
    /// Resets one session in use for another client, and then disconnects all clients.
    wanted_by_another: Notify,
    cut: Notify,
}

/// A connection to the server, and the statements that are prepared on it.
struct Server {
    stream: TcpStream,
    prepared: HashSet<Vec<u8>>,
}

/// The name of the session that [`Pooler::lend_one_to_another`] lends.
pub const ANOTHER: &str = "another";

impl Server {
    /// Resets the session as a pooler does between two clients.
    async fn reset(&mut self) -> io::Result<()> {
        for statement in ["discard all", &format!("set application_name = '{ANOTHER}'")] {
            write(&mut self.stream, &(b'Q', [statement.as_bytes(), b"\0"].concat())).await?;
            while read(&mut self.stream).await?.0 != b'Z' {}
        }
        Ok(())
    }
}

impl Pooler {
    /// Lends at most `size` connections to the server of `database`.
    pub async fn to(database: &PgDatabase, choice: Choice, size: usize) -> Self {
        let url = url::Url::parse(&database.url).unwrap();
        let target = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5432));
        let pool = Pool {
            choice,
            size,
            target,
            free: Mutex::default(),
            open: Mutex::default(),
            freed: Notify::new(),
            wanted_by_another: Notify::new(),
            cut: Notify::new(),
        };
        let pool = Arc::new(pool);
        let lent = Arc::clone(&pool);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut running = JoinSet::new();
        running.spawn(async move {
            let mut clients = JoinSet::new();
            for number in 0.. {
                let (client, _) = listener.accept().await.unwrap();
                client.set_nodelay(true).unwrap();
                let client = Client { stream: client, number, statements: HashMap::new() };
                clients.spawn(client.serve(Arc::clone(&lent)));
            }
        });
        Self { address, pool, _running: running }
    }

    /// Disconnects all clients that have a session, as if they had been idle, and keeps their sessions unchanged except
    /// for one: that is reset and lent to another client, which names itself [`ANOTHER`].
    pub async fn lend_one_to_another(&self) {
        self.pool.wanted_by_another.notify_one();
        self.pool.freed.notified().await;
    }

    pub fn url(&self, database: &PgDatabase) -> String {
        database.url_with(|url| {
            url.set_host(Some("127.0.0.1")).unwrap();
            url.set_port(Some(self.address.port())).unwrap();
            url.set_query(Some("sslmode=disable"));
        })
    }
}

impl Pool {
    async fn take(&self) -> Server {
        loop {
            {
                let mut free = self.free.lock().unwrap();
                if !free.is_empty() {
                    return match self.choice {
                        Choice::LongestFree => free.remove(0),
                        _ => free.pop().unwrap(),
                    };
                }
            }
            self.freed.notified().await;
        }
    }

    fn give_back(&self, server: Server) {
        self.free.lock().unwrap().push(server);
        self.freed.notify_one();
    }

    /// Counts one more connection and returns true if there is room for it.
    fn open_one(&self) -> bool {
        let mut open = self.open.lock().unwrap();
        let has_room = *open < self.size;
        *open += usize::from(has_room);
        has_room
    }
}

/// A message: its kind and the bytes after its length.
type Message = (u8, Vec<u8>);

async fn read(stream: &mut TcpStream) -> io::Result<Message> {
    let kind = stream.read_u8().await?;
    let length = stream.read_u32().await? as usize;
    let mut body = vec![0; length - 4];
    stream.read_exact(&mut body).await?;
    Ok((kind, body))
}

async fn write(stream: &mut TcpStream, (kind, body): &Message) -> io::Result<()> {
    let mut bytes = vec![*kind];
    bytes.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    bytes.extend_from_slice(body);
    stream.write_all(&bytes).await
}

/// The text up to the next NUL, and the rest after it.
fn text(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap();
    (&bytes[..end], &bytes[end + 1..])
}

struct Client {
    stream: TcpStream,
    number: usize,
    /// Prepared statements by their name.
    statements: HashMap<Vec<u8>, Vec<u8>>,
}

impl Client {
    async fn serve(mut self, pool: Arc<Pool>) {
        let Ok(server) = self.log_in(&pool).await else { return };
        if pool.choice == Choice::OwnForTheSession {
            return self.session(server, &pool).await;
        }
        if pool.open_one() {
            pool.give_back(server);
        } else {
            drop(server);
        }
        loop {
            // Waits for the client before it takes a connection.
            if self.stream.peek(&mut [0]).await.is_ok_and(|read| read == 0) {
                return;
            }
            let mut server = pool.take().await;
            match self.transaction(&mut server).await {
                Ok(()) => pool.give_back(server),
                // Other poolers would also close a connection in the middle of an exchange; a client that disconnects
                // between two transactions leaves its connection unchanged.
                Err(left) if left.kind() == io::ErrorKind::UnexpectedEof => return pool.give_back(server),
                Err(_) => return,
            }
        }
    }

    async fn session(mut self, mut server: Server, pool: &Pool) {
        loop {
            tokio::select! {
                done = self.transaction(&mut server) => if done.is_err() { return },
                () = pool.wanted_by_another.notified() => {
                    server.reset().await.unwrap();
                    pool.cut.notify_waiters();
                    break;
                }
                () = pool.cut.notified() => break,
            }
        }
        drop(self.stream);
        pool.give_back(server);
    }

    /// Passes the client's login on to the server.
    async fn log_in(&mut self, pool: &Pool) -> io::Result<Server> {
        const SSL_REQUEST: [u8; 4] = 80_877_103_u32.to_be_bytes();
        let mut stream = TcpStream::connect(&pool.target).await?;
        stream.set_nodelay(true)?;
        loop {
            let length = self.stream.read_u32().await? as usize;
            let mut body = vec![0; length - 4];
            self.stream.read_exact(&mut body).await?;
            if body == SSL_REQUEST {
                self.stream.write_all(b"N").await?;
                continue;
            }
            stream.write_u32(length as u32).await?;
            stream.write_all(&body).await?;
            break;
        }
        loop {
            let message = read(&mut stream).await?;
            write(&mut self.stream, &message).await?;
            match message {
                // The login succeeded; the messages that follow need no reply.
                (b'R', body) if body[..4] == [0; 4] => {}
                // The server requests a password, or announces the end of the exchange (12), which needs no reply.
                (b'R', body) if body[..4] != 12_u32.to_be_bytes() => {
                    let answer = read(&mut self.stream).await?;
                    write(&mut stream, &answer).await?;
                }
                (b'Z', _) => return Ok(Server { stream, prepared: HashSet::new() }),
                (b'E', _) => return Err(io::ErrorKind::PermissionDenied.into()),
                _ => {}
            }
        }
    }

    /// Passes messages on until the server is outside a transaction again.
    async fn transaction(&mut self, server: &mut Server) -> io::Result<()> {
        let mut unanswered = 0;
        loop {
            // A client waits for what it has asked for before it asks for more.
            while unanswered > 0 {
                let message = read(&mut server.stream).await?;
                write(&mut self.stream, &message).await?;
                if let (b'Z', body) = message {
                    unanswered -= 1;
                    if unanswered == 0 && body == b"I" {
                        return Ok(());
                    }
                }
            }
            let message = read(&mut self.stream).await?;
            match message.0 {
                b'X' => return Err(io::ErrorKind::UnexpectedEof.into()),
                b'Q' | b'S' => {
                    write(&mut server.stream, &message).await?;
                    unanswered += 1;
                }
                _ => {
                    let message = self.renamed(server, message).await?;
                    write(&mut server.stream, &message).await?;
                }
            }
        }
    }

    /// Gives a statement a name that only this client has, and prepares it if this server does not have it yet.
    async fn renamed(&mut self, server: &mut Server, (kind, body): Message) -> io::Result<Message> {
        let own = |name: &[u8]| {
            if name.is_empty() { vec![] } else { [format!("c{}_", self.number).as_bytes(), name].concat() }
        };
        let with_name = |name: Vec<u8>, rest: &[u8]| [&*name, b"\0", rest].concat();
        match kind {
            b'P' => {
                let (name, rest) = text(&body);
                let (own, name) = (own(name), name.to_vec());
                if !name.is_empty() {
                    self.statements.insert(name, rest.to_vec());
                    server.prepared.insert(own.clone());
                }
                Ok((kind, with_name(own, rest)))
            }
            b'B' => {
                let (portal, rest) = text(&body);
                let (name, rest) = text(rest);
                let own = own(name);
                if !own.is_empty() && server.prepared.insert(own.clone()) {
                    let parse = (b'P', with_name(own.clone(), &self.statements[name]));
                    write(&mut server.stream, &parse).await?;
                    write(&mut server.stream, &(b'H', vec![])).await?;
                    assert_eq!(read(&mut server.stream).await?.0, b'1', "it is prepared");
                }
                Ok((kind, [portal, b"\0", &*with_name(own, rest)].concat()))
            }
            b'D' | b'C' if body[0] == b'S' => {
                let (name, rest) = text(&body[1..]);
                Ok((kind, [b"S", &*with_name(own(name), rest)].concat()))
            }
            _ => Ok((kind, body)),
        }
    }
}
