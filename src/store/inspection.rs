//! The result of looking at a database without changing anything in it.

use super::StoreError;
use crate::errors::chain;

/// The weight of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As it should be.
    Fine,
    /// The service works, and somebody should know.
    Warning,
    /// The service does not work now. Waiting may help.
    Unavailable,
    /// The service does not work until somebody changes something.
    MustChange,
}

/// Something that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its subject, in a word or two.
    pub subject: &'static str,
    /// Its weight.
    pub severity: Severity,
    /// A sentence with what was found and, unless it is fine, what to do.
    pub text: String,
}

/// Findings in the order in which they were made.
#[derive(Debug, Default)]
pub struct Findings(pub Vec<Finding>);

impl Findings {
    /// Adds a finding.
    pub fn add(&mut self, subject: &'static str, severity: Severity, text: impl Into<String>) {
        self.0.push(Finding { subject, severity, text: text.into() });
    }

    /// Adds something that is as it should be.
    pub fn fine(&mut self, subject: &'static str, text: impl Into<String>) {
        self.add(subject, Severity::Fine, text);
    }

    /// Adds something that somebody should know.
    pub fn warn(&mut self, subject: &'static str, text: impl Into<String>) {
        self.add(subject, Severity::Warning, text);
    }

    /// Adds something that somebody has to change.
    pub fn must_change(&mut self, subject: &'static str, text: impl Into<String>) {
        self.add(subject, Severity::MustChange, text);
    }

    /// Adds a failure.
    pub fn fail(&mut self, subject: &'static str, error: &StoreError) {
        let severity = match error {
            StoreError::Denied(_) | StoreError::Misconfigured(_) | StoreError::Missing(..) => Severity::MustChange,
            StoreError::Unavailable(_)
            | StoreError::ReadOnly(_)
            | StoreError::ConstraintViolated(_)
            | StoreError::Internal(_) => Severity::Unavailable,
        };
        self.add(subject, severity, chain(error).to_string());
    }

    /// The one that matters most.
    #[must_use]
    pub fn worst(&self) -> Severity {
        self.0.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Fine)
    }
}

/// The greatest difference between two clocks that is not worth a warning, in seconds.
const MAX_CLOCK_DIFFERENCE_SECONDS: i64 = 3;

/// Reports the difference between the database's clock, which showed `theirs`, and this machine's, which showed `before` and
/// `after` around that. All are whole seconds.
pub(super) fn compare_clocks(findings: &mut Findings, theirs: i64, before: i64, after: i64) {
    // Somewhere in between, both clocks showed the same if the first of these two is negative and the second positive.
    let (least, most) = (theirs - after, theirs - before);
    let difference = if least > 0 { least } else { most.min(0) };
    let (seconds, direction) = (difference.abs(), if difference > 0 { "ahead of" } else { "behind" });
    let said = format!("the database's clock is {seconds} s {direction} this machine's");
    match seconds {
        0 | 1 => findings.fine("clock", "the database's and this machine's agree to the second"),
        seconds if seconds <= MAX_CLOCK_DIFFERENCE_SECONDS => findings.fine("clock", said),
        _ => findings.warn(
            "clock",
            format!(
                "{said}; synchronise both (NTP), because this machine's clock decides whether a candle is closed or comes \
                 from the future"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_some_seconds_off_is_warned_of() {
        for (theirs, before, after, severity, said) in [
            (100, 100, 100, Severity::Fine, "agree to the second"),
            (101, 100, 100, Severity::Fine, "agree to the second"),
            (104, 100, 104, Severity::Fine, "agree to the second"),
            (103, 100, 100, Severity::Fine, "3 s ahead of"),
            (97, 100, 100, Severity::Fine, "3 s behind"),
            (104, 100, 100, Severity::Warning, "4 s ahead of"),
            (90, 100, 102, Severity::Warning, "10 s behind"),
            (3700, 100, 101, Severity::Warning, "3599 s ahead of"),
        ] {
            let mut findings = Findings::default();
            compare_clocks(&mut findings, theirs, before, after);
            let [finding] = findings.0.as_slice() else { panic!("{findings:?}") };
            assert!(finding.severity == severity && finding.text.contains(said), "{finding:?}");
        }
    }

    #[test]
    fn the_worst_finding_decides() {
        let mut findings = Findings::default();
        assert_eq!(findings.worst(), Severity::Fine);
        findings.warn("a", "");
        findings.fail("b", &StoreError::unavailable(""));
        assert_eq!(findings.worst(), Severity::Unavailable);
        findings.fail("c", &StoreError::denied(""));
        findings.fine("d", "");
        assert_eq!(findings.worst(), Severity::MustChange);
    }
}
