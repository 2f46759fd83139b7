//! Input from strangers, mutated at random: the properties of the fuzz targets, checked in every run of the tests.

use std::cell::Cell;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

#[path = "../../fuzz/src/lib.rs"]
mod holds;

/// Byte sequences on which parsers have failed.
const PIECES: [&[u8]; 46] = [
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"\n",
    b" ",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"-",
    b"+",
    b".",
    b"e",
    b"0",
    b"1e400",
    b"1e-28",
    b"-0",
    b"NaN",
    b"null",
    b"true",
    b"9223372036854775808",
    b"99999999999999999999",
    b"253402300799999",
    b"-62135596800",
    b"2025-08-03T23:59:60Z",
    b"+14:00",
    b"2025.08.03 13:00",
    b"&",
    b"=",
    b"%2B",
    b"%00",
    b"&limit=1",
    b"&before=1691020800",
    b"\"candles\":[{}],",
    b"nan",
    b"\"unit\":\"ms\",",
    b"\"time\":0,",
    b"+0000",
    b"2024-11-25",
    b"&unit=s",
];

/// A change of an input: its position in 65,536ths of the length, and the bytes.
#[derive(Debug, Clone)]
enum Edit {
    Insert(u16, Vec<u8>),
    Overwrite(u16, u8),
    Remove(u16, usize),
    Repeat(u16, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let piece = prop_oneof![
        3 => proptest::sample::select(&PIECES[..]).prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 1..8),
    ];
    prop_oneof![
        (any::<u16>(), piece).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        (any::<u16>(), any::<u8>()).prop_map(|(at, byte)| Edit::Overwrite(at, byte)),
        (any::<u16>(), 1..24_usize).prop_map(|(at, count)| Edit::Remove(at, count)),
        (any::<u16>(), 1..200_usize).prop_map(|(at, count)| Edit::Repeat(at, count)),
    ]
}

fn apply(mut input: Vec<u8>, edits: &[Edit]) -> Vec<u8> {
    for edit in edits {
        let place = |at: u16| usize::from(at) * input.len() / 65_536;
        match edit {
            Edit::Insert(at, bytes) => {
                let at = place(*at);
                input.splice(at..at, bytes.iter().copied());
            }
            Edit::Overwrite(at, byte) => {
                let at = place(*at);
                input.splice(at..(at + 1).min(input.len()), [*byte]);
            }
            Edit::Remove(at, count) => {
                let at = place(*at);
                input.drain(at..(at + count).min(input.len()));
            }
            Edit::Repeat(at, count) => {
                let at = place(*at);
                let repeated = input[at..(at + count).min(input.len())].to_vec();
                input.splice(at..at, repeated);
            }
        }
    }
    input
}

/// Changes the seeds of a fuzz target at random and checks that the property holds, both for accepted and for refused
/// inputs.
fn check(target: &str, cases: u32, holds: fn(&[u8]) -> bool) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let seeds: Vec<Vec<u8>> =
        folder.read_dir().unwrap().map(|seed| std::fs::read(seed.unwrap().path()).unwrap()).collect();
    for seed in &seeds {
        holds(seed);
    }
    let accepted = Cell::new(0);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let inputs = (proptest::sample::select(seeds), proptest::collection::vec(edit(), 0..6));
    let result = runner.run(&inputs, |(seed, edits)| {
        accepted.set(accepted.get() + u32::from(holds(&apply(seed, &edits))));
        Ok(())
    });
    result.unwrap();
    assert!((1..cases).contains(&accepted.get()), "{} of {cases} were accepted", accepted.get());
    println!("{target}: {cases} inputs, {} of them accepted", accepted.get());
}

#[test]
fn batch_body() {
    check("batch_body", 4000, holds::batch_body);
}

#[test]
fn query_string() {
    check("query_string", 10_000, holds::query_string);
}

#[test]
fn decimal() {
    check("decimal", 10_000, holds::decimal);
}

#[test]
fn candle_file() {
    check("candle_file", 10_000, holds::candle_file);
}
