//! A proxy between a terminal and the service: it records every request, and answers some itself.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// The proxy's treatment of a request.
#[derive(Debug, Clone)]
pub enum Fate {
    /// The proxy answers itself: the status line's end, further header lines and the body.
    Answered(&'static str, &'static str, &'static str),
    /// The service's answer is dropped and the connection closed.
    AnswerLost,
    /// Nothing is answered until the terminal gives up.
    Silence,
}

#[derive(Debug, Clone)]
pub struct Request {
    pub head: String,
    pub body: Vec<u8>,
    /// The head of the answer.
    pub answer: String,
}

#[derive(Default)]
struct State {
    service: Option<SocketAddr>,
    fates: VecDeque<Fate>,
    /// The treatment of every request that contains a text.
    always: Option<(String, Fate)>,
    requests: Vec<Request>,
}

pub struct Front {
    pub address: SocketAddr,
    /// Keeps the port reserved while nothing listens on it.
    _place: TcpSocket,
    state: Arc<Mutex<State>>,
    running: Option<JoinHandle<()>>,
}

impl Front {
    pub async fn start() -> Self {
        let place = TcpSocket::new_v4().unwrap();
        place.set_reuseaddr(true).unwrap();
        place.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = place.local_addr().unwrap();
        let mut front = Self { address, _place: place, state: Arc::default(), running: None };
        front.up().await;
        front
    }

    /// Refuses connections from now on.
    pub async fn down(&mut self) {
        let running = self.running.take().expect("it is up");
        running.abort();
        let _ = running.await;
    }

    pub async fn up(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        let state = Arc::clone(&self.state);
        self.running = Some(tokio::spawn(async move {
            // Dropping the set with this task cuts every connection.
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                connections.spawn(serve(client, Arc::clone(&state)));
            }
        }));
    }

    /// Sets the service's address, or that there is no service.
    pub fn lead_to(&self, service: Option<SocketAddr>) {
        self.state.lock().unwrap().service = service;
    }

    /// Sets the treatment of the next requests, one after the other; later ones are passed on.
    pub fn next(&self, fates: &[Fate]) {
        self.state.lock().unwrap().fates.extend(fates.iter().cloned());
    }

    /// Sets the treatment of every request that contains `text` in its head or body.
    pub fn always(&self, text: &str, fate: Fate) {
        self.state.lock().unwrap().always = Some((text.to_owned(), fate));
    }

    /// Passes all requests on again.
    pub fn no_longer(&self) {
        self.state.lock().unwrap().always = None;
    }

    pub fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().requests.clone()
    }
}

/// The answer of a service that refuses a whole batch.
pub const REFUSAL: Fate = Fate::Answered(
    "422 Unprocessable Entity",
    "Content-Type: application/problem+json\r\n",
    r#"{"status":422,"detail":"one \"bad\" candle; leave it out","code":"invalid_values"}"#,
);

/// Serves the one request of a connection.
async fn serve(mut client: TcpStream, state: Arc<Mutex<State>>) {
    let Ok((head, body)) = message(&mut client).await else { return };
    let (number, service, fate) = {
        let mut state = state.lock().unwrap();
        state.requests.push(Request { head: head.clone(), body: body.clone(), answer: String::new() });
        let text = format!("{head}{}", String::from_utf8_lossy(&body));
        let always = state.always.as_ref().filter(|(held, _)| text.contains(held)).map(|(_, fate)| fate.clone());
        let fate = always.or_else(|| state.fates.pop_front());
        (state.requests.len() - 1, state.service, fate)
    };
    let (answer, passed_on) = match fate {
        Some(Fate::Silence) => {
            // Returns when the terminal closes.
            let _ = client.read_to_end(&mut Vec::new()).await;
            return;
        }
        Some(Fate::Answered(status, headers, body)) => {
            let length = body.len();
            let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n");
            ((head, body.as_bytes().to_vec()), true)
        }
        lost_or_none => {
            let Ok(answer) = ask(service, &head, &body).await else { return };
            (answer, lost_or_none.is_none())
        }
    };
    state.lock().unwrap().requests[number].answer.clone_from(&answer.0);
    if passed_on {
        let _ = client.write_all(&[answer.0.as_bytes(), &answer.1].concat()).await;
    }
}

async fn ask(service: Option<SocketAddr>, head: &str, body: &[u8]) -> io::Result<(String, Vec<u8>)> {
    let mut service = TcpStream::connect(service.ok_or(io::ErrorKind::NotFound)?).await?;
    service.write_all(&[head.as_bytes(), body].concat()).await?;
    message(&mut service).await
}

/// Reads a request or an answer: its head with the empty line, and its body.
async fn message(stream: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let mut body = bytes.split_off(end);
    let head = String::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData)?;
    let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
    while body.len() < length {
        if stream.read_buf(&mut body).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok((head, body))
}

/// A header's value.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
}
