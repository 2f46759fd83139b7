//! The findings of an inspection, which changes nothing in the database.

use super::StoreError;
use crate::errors::chain;

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is wrong.
    Fine,
    /// The service works, but the operator should know.
    Warning,
    /// The service does not work now. Waiting may help.
    Unavailable,
    /// The service does not work until somebody changes something.
    MustChange,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its subject, in a word or two.
    pub subject: &'static str,
    /// Its severity.
    pub severity: Severity,
    /// A sentence that says what was found and, unless nothing is wrong, what to do.
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

    /// Adds a finding that nothing is wrong.
    pub fn fine(&mut self, subject: &'static str, text: impl Into<String>) {
        self.add(subject, Severity::Fine, text);
    }

    /// Adds a warning.
    pub fn warn(&mut self, subject: &'static str, text: impl Into<String>) {
        self.add(subject, Severity::Warning, text);
    }

    /// Adds a finding that the operator has to act on.
    pub fn must_change(&mut self, subject: &'static str, text: impl Into<String>) {
        self.add(subject, Severity::MustChange, text);
    }

    /// Adds a failure.
    pub fn fail(&mut self, subject: &'static str, error: &StoreError) {
        let severity = match error {
            StoreError::Denied(_) | StoreError::Misconfigured(_) | StoreError::Missing(..) => Severity::MustChange,
            StoreError::Unavailable(_)
            | StoreError::Unanswered(_)
            | StoreError::ReadOnly(_)
            | StoreError::ConstraintViolated(_)
            | StoreError::Internal(_) => Severity::Unavailable,
        };
        self.add(subject, severity, chain(error).to_string());
    }

    /// The highest severity of all findings.
    #[must_use]
    pub fn worst(&self) -> Severity {
        self.0.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Fine)
    }
}

/// The maximum difference between two clocks without a warning, in seconds.
const MAX_CLOCK_DIFFERENCE_SECONDS: i64 = 3;

/// Reports the difference between the database's clock, which showed `theirs`, and this machine's, which showed
/// `before` and `after` just before and after that. All are whole seconds.
pub(super) fn compare_clocks(findings: &mut Findings, theirs: i64, before: i64, after: i64) {
    // The minimum and the maximum difference. If 0 is between them, the clocks may agree.
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
                "{said}; synchronise both (NTP), because this machine's clock decides whether a candle is closed or \
                 comes from the future"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_more_than_three_seconds_apart_are_a_warning() {
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
