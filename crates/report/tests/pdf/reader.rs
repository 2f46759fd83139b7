//! Reads what a test needs to know of a PDF file, without another program.

use std::io::Read;

use flate2::read::ZlibDecoder;

/// The structure of a file.
#[derive(Debug)]
pub(crate) struct Pdf {
    /// The file's text, its streams as they are.
    raw: String,
}

impl Pdf {
    pub(crate) fn read(file: &[u8]) -> Self {
        assert!(file.starts_with(b"%PDF-1.7"), "{:?}", &file[..file.len().min(16)]);
        assert!(file.trim_ascii_end().ends_with(b"%%EOF"));
        // One character a byte, so that places in the text are places in the file.
        Self { raw: file.iter().map(|byte| char::from(*byte)).collect() }
    }

    /// Checks that every object stands where the table of objects says.
    pub(crate) fn check(&self) {
        let start = self.raw.rfind("startxref").unwrap();
        let place: usize = self.raw[start + 9..].split_whitespace().next().unwrap().parse().unwrap();
        let raw: Vec<char> = self.raw.chars().collect();
        let from = |place: usize, count: usize| raw[place..].iter().take(count).collect::<String>();
        assert!(from(place, 4) == "xref", "{}", from(place, 20));
        let table: String = from(place, raw.len());
        let mut lines = table.lines().skip(1);
        let mut objects = 0;
        while let Some((first, count)) = lines.next().and_then(|line| line.trim().split_once(' ')) {
            let (Ok(first), Ok(count)) = (first.parse::<usize>(), count.parse::<usize>()) else { break };
            for number in first..first + count {
                let entry = lines.next().unwrap();
                if entry.trim_end().ends_with('n') {
                    let place: usize = entry[..10].parse().unwrap();
                    assert!(from(place, 24).starts_with(&format!("{number} 0 obj")), "{number} at {place}");
                    objects += 1;
                }
            }
        }
        assert!(objects > 5);
    }

    pub(crate) fn pages(&self) -> usize {
        self.raw.matches("<</Type/Page/").count()
    }

    pub(crate) fn fonts(&self) -> Vec<&str> {
        self.raw.split("/FontName/").skip(1).map(|rest| rest.split('/').next().unwrap()).collect()
    }

    /// The content of all streams that zlib understands.
    pub(crate) fn streams(&self) -> Vec<Vec<u8>> {
        let parts = self.raw.split("stream\n").skip(1).step_by(2);
        let bytes = parts.map(|part| part.chars().map(|letter| letter as u8).collect::<Vec<u8>>());
        bytes
            .filter_map(|bytes| {
                let mut content = Vec::new();
                ZlibDecoder::new(&bytes[..]).read_to_end(&mut content).ok().map(|_| content)
            })
            .collect()
    }
}
