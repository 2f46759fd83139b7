//! Properties that every kind of report has.

use report::{MAX_PAGES, pdf};

use crate::{cases, reader::Pdf};

/// The largest file, in bytes.
const MAX_BYTES: usize = 2 << 20;

#[test]
fn every_kind_of_report_is_a_valid_file_of_at_most_twelve_pages() {
    for (name, case) in cases::all() {
        let file = pdf(&case.report());
        std::fs::write(format!("{}/{name}.pdf", env!("CARGO_TARGET_TMPDIR")), &file).unwrap();
        let read = Pdf::read(&file);
        read.check();
        assert!((5..=MAX_PAGES).contains(&read.pages()), "{name}: {}", read.pages());
        assert!(file.len() <= MAX_BYTES, "{name}: {}", file.len());
    }
}

#[test]
fn the_same_report_gives_the_same_bytes() {
    let case = cases::forward();
    let file = pdf(&case.report());
    assert_eq!(file, pdf(&case.report()));
    assert_eq!(file, std::thread::spawn(|| pdf(&cases::forward().report())).join().unwrap());
    let mut other = case;
    other.symbol = "GBPUSD".into();
    assert_ne!(file, pdf(&other.report()));
}

#[test]
fn fonts_are_embedded_in_parts() {
    let file = pdf(&cases::forward().report());
    let read = Pdf::read(&file);
    let mut fonts = read.fonts();
    fonts.sort_unstable_by_key(|font| font.split_once('+').map(|(_, name)| name));
    let names: Vec<&str> = fonts.iter().map(|font| font.split_once('+').unwrap().1).collect();
    assert_eq!(names, ["IBMPlexMono", "IBMPlexSans", "IBMPlexSans-SmBld"]);
    assert!(read.streams().iter().all(|stream| stream.len() < 150_000), "a whole font has more bytes");
    assert!(read.streams().len() > 10);
}

#[test]
fn figures_that_a_service_kept_by_their_names_give_the_same_report() {
    let mut case = cases::forward();
    let file = pdf(&case.report());
    let search = case.search.as_mut().unwrap();
    let named: std::collections::HashMap<&str, Option<f64>> = search.in_sample.named().into_iter().collect();
    search.in_sample = research::Metrics::from_named(|name| named[name]);
    assert_eq!(search.in_sample.named().into_iter().collect::<std::collections::HashMap<_, _>>(), named);
    assert_eq!(pdf(&case.report()), file);
}
