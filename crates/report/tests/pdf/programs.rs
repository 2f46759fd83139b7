//! Reports as other programs read them: qpdf, and poppler's pdftotext and pdftoppm, which `scripts/with-programs` finds or installs.

use std::{fs, path::PathBuf, process::Command};

use report::pdf;

use crate::{case::Case, cases};

/// The path of a program, or `None` after a line that says what is left out. In CI a missing program is a failure.
#[expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "scripts/with-programs sets variables, and a test says what it left out"
)]
fn program(variable: &str) -> Option<String> {
    let program = std::env::var(variable).ok();
    if program.is_none() {
        let message = format!("left out, because {variable} is not set; scripts/with-programs sets it");
        assert!(std::env::var_os("CI").is_none(), "{message}");
        eprintln!("{message}");
    }
    program
}

fn file(name: &str, case: &Case) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("program-{name}.pdf"));
    fs::write(&path, pdf(&case.report())).unwrap();
    path
}

fn output(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn qpdf_finds_no_fault_in_any_kind_of_report() {
    let Some(qpdf) = program("TEST_QPDF") else { return };
    for (name, case) in cases::all() {
        output(Command::new(&qpdf).arg("--check").arg(file(&format!("qpdf-{name}"), &case)));
    }
}

#[test]
fn text_can_be_copied_with_its_numbers() {
    let Some(pdftotext) = program("TEST_PDFTOTEXT") else { return };
    let case = cases::forward();
    let path = file("text", &case);
    let text = output(Command::new(pdftotext).args(["-layout", "-enc", "UTF-8"]).arg(path).arg("-"));
    let text = String::from_utf8(text).unwrap();
    let words: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (metrics, search) = (&case.backtest.metrics, case.search.as_ref().unwrap());
    let minus = |text: String| text.replace('-', "−");
    let mut expected = vec![
        case.strategy.title().to_owned(),
        "EURUSD · H1 ·".into(),
        "First try, hours of two years".into(),
        format!("{:016x}", case.backtest.fingerprint),
        minus(format!("{:.2}", metrics.trades.net_profit)),
        minus(format!("{:.2}", metrics.sharpe.unwrap())),
        minus(format!("{:.2}", search.in_sample.sharpe.unwrap())),
        format!("{:.2}", search.pbo.unwrap()),
        format!("{:.2}", search.deflated_sharpe.unwrap()),
        format!("{:.5}", case.backtest.trades[0].entry_price),
        minus(format!("{:.2}", case.backtest.trades[0].profit)),
        format!("Page 1 of {}", text.matches('\u{c}').count()),
        "Not investment advice".into(),
        "enterLong = close > upper".into(),
    ];
    expected.extend(case.warnings.iter().chain(&case.backtest.assumptions).cloned());
    expected.extend(case.backtest.trades.iter().take(30).map(|trade| minus(format!("{:.2}", trade.profit))));
    for part in expected {
        assert!(words.contains(&part), "{part} is not in {words}");
    }
    let first_page = text.split('\u{c}').next().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(!case.warnings.is_empty());
    assert!(case.warnings.iter().all(|warning| first_page.contains(warning)), "{first_page}");
}

/// A page as averages of grey over the cells of a grid: coarse enough for every release of the program that draws it.
const COLUMNS: usize = 36;
const ROWS: usize = 51;
/// The mean difference of cells that rounding and other releases may make, in levels of grey.
const MEAN_TOLERANCE: f64 = 1.0;
/// The difference that one cell may have.
const CELL_TOLERANCE: u8 = 24;

#[test]
fn the_first_page_looks_as_it_did() {
    let Some(pdftoppm) = program("TEST_PDFTOPPM") else { return };
    let first_page = |name: &str, case: &Case| {
        let path = file(name, case);
        grid(&output(Command::new(&pdftoppm).args(["-gray", "-r", "72", "-f", "1", "-l", "1"]).arg(path)))
    };
    let found = first_page("picture", &cases::forward());
    let written = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("first_page.txt");
    let print =
        |row: &[u8]| row.iter().map(|cell| format!("{cell:02x}")).chain(["\n".to_owned()]).collect::<Vec<_>>().concat();
    fs::write(&written, found.chunks(COLUMNS).map(print).collect::<String>()).unwrap();
    let (mean, most) = differences(&found);
    assert!(
        mean <= MEAN_TOLERANCE && most <= CELL_TOLERANCE,
        "cells differ by {mean:.2} on average and {most} at most; look at the page, and copy {} if it is right",
        written.display()
    );
    // The tolerance does not hide that a page is another one.
    let (mean, most) = differences(&first_page("other-picture", &cases::one_parameter()));
    assert!(mean > MEAN_TOLERANCE && most > CELL_TOLERANCE, "{mean} {most}");
}

/// The mean and the largest difference of cells from those of the page as it was.
fn differences(found: &[u8]) -> (f64, u8) {
    let known: String = include_str!("first_page.txt").split_whitespace().collect();
    assert_eq!((found.len(), known.len()), (COLUMNS * ROWS, 2 * COLUMNS * ROWS));
    let cell = |place: usize| u8::from_str_radix(&known[2 * place..2 * place + 2], 16).unwrap();
    let differences: Vec<u8> = found.iter().enumerate().map(|(place, level)| level.abs_diff(cell(place))).collect();
    let sum: f64 = differences.iter().map(|difference| f64::from(*difference)).sum();
    #[expect(clippy::cast_precision_loss, reason = "there are few cells")]
    let mean = sum / differences.len() as f64;
    (mean, differences.into_iter().max().unwrap_or_default())
}

/// The averages of a picture in the binary PGM format.
fn grid(picture: &[u8]) -> Vec<u8> {
    let mut parts = picture.splitn(4, u8::is_ascii_whitespace);
    assert_eq!(parts.next(), Some(&b"P5"[..]));
    let mut number = || -> usize { std::str::from_utf8(parts.next().unwrap()).unwrap().parse().unwrap() };
    let (width, height) = (number(), number());
    let pixels = &picture[picture.len() - width * height..];
    let mut cells = vec![];
    for row in 0..ROWS {
        for column in 0..COLUMNS {
            let rows = row * height / ROWS..(row + 1) * height / ROWS;
            let columns = column * width / COLUMNS..(column + 1) * width / COLUMNS;
            let count = rows.len() * columns.len();
            let sum: usize =
                rows.flat_map(|row| columns.clone().map(move |column| usize::from(pixels[row * width + column]))).sum();
            cells.push(u8::try_from(sum / count).unwrap());
        }
    }
    cells
}
