//! A client that downloads a file of any length.

use std::io::{self, BufRead as _, BufReader, Read as _, Write};
use std::net::{SocketAddr, TcpStream};

use crate::contract::TOKEN;

/// The bytes that are read at a time.
const BUFFER: usize = 256 * 1024;

/// Downloads an export into `output`, and returns its length. Panics if it is refused or breaks off.
pub fn export(address: SocketAddr, format: &str, query: &str, output: &mut impl Write) -> u64 {
    // The caller is a task, whose thread this takes for as long as it runs.
    tokio::task::block_in_place(|| {
        let mut stream = TcpStream::connect(address).unwrap();
        let path = format!("/api/v1/export.{format}?{query}");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: bench\r\nx-internal-token: {TOKEN}\r\nconnection: close\r\n\r\n")
            .unwrap();
        let mut reader = BufReader::with_capacity(BUFFER, stream);
        let status = line(&mut reader);
        assert!(status.starts_with("HTTP/1.1 200"), "{status}");
        while !line(&mut reader).is_empty() {}
        let mut length = 0;
        loop {
            // Without the last chunk, the line is empty, and so not a number.
            let chunk = u64::from_str_radix(&line(&mut reader), 16).expect("the export is whole");
            length += io::copy(&mut reader.by_ref().take(chunk), output).unwrap();
            assert_eq!(line(&mut reader), "");
            if chunk == 0 {
                return length;
            }
        }
    })
}

fn line(reader: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}
