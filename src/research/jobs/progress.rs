//! The progress of a job: in memory where it runs, and in its row for everybody else.

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::item::BestPoint;

/// The progress of a job.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Progress {
    /// Evaluations made.
    pub(crate) done: u64,
    /// Evaluations to be made, as far as that is known.
    pub(crate) total: u64,
    /// Items that are over.
    pub(crate) items_done: usize,
    /// The rate since the process took the job.
    pub(crate) evaluations_per_second: f64,
    /// The seconds that the rest will take at this rate.
    pub(crate) remaining_s: Option<f64>,
    /// The best point of each item that has one.
    pub(crate) best: Vec<BestPoint>,
    /// Sentences for the reader of the job.
    pub(crate) warnings: Vec<String>,
}

/// Follows a job in the process that works on it.
#[derive(Debug)]
pub(super) struct Tracker {
    began: Instant,
    /// Evaluations of items that this process has finished, and of all items that are over.
    here: u64,
    over: u64,
    /// Evaluations to be made of the items that have not begun.
    ahead: u64,
    progress: Progress,
}

impl Tracker {
    /// Begins with what earlier processes have found.
    pub(super) fn new(planned: u64, warnings: Vec<String>) -> Self {
        let progress = Progress { total: planned, warnings, ..Progress::default() };
        Self { began: Instant::now(), here: 0, over: 0, ahead: planned, progress }
    }

    /// Goes on from the progress that the row of a job has.
    pub(super) fn resumed(progress: Progress) -> Self {
        Self { progress, ..Self::new(0, Vec::new()) }
    }

    /// Adds a sentence, unless it is there.
    pub(super) fn warn(&mut self, warning: String) {
        if !self.progress.warnings.contains(&warning) {
            self.progress.warnings.push(warning);
        }
    }

    /// An item of `planned` evaluations begins.
    pub(super) fn item_begins(&mut self, planned: u64) {
        self.ahead = self.ahead.saturating_sub(planned);
    }

    /// The item that runs has made `done` of `total` evaluations.
    pub(super) fn item_runs(&mut self, done: u64, total: u64, best: Option<BestPoint>) {
        self.progress.done = self.over + done;
        self.progress.total = self.over + total + self.ahead;
        self.set_best(best);
        self.measure(self.here + done);
    }

    /// An item has ended here, after `made` evaluations.
    pub(super) fn item_ends(&mut self, made: u64, best: Option<BestPoint>) {
        self.here += made;
        self.item_was_over(made, best);
        self.measure(self.here);
    }

    /// An item was over before this process took the job.
    pub(super) fn item_was_over(&mut self, made: u64, best: Option<BestPoint>) {
        self.over += made;
        self.progress.done = self.over;
        self.progress.total = self.over + self.ahead;
        self.progress.items_done += 1;
        self.set_best(best);
    }

    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    fn set_best(&mut self, best: Option<BestPoint>) {
        let Some(best) = best else { return };
        match self.progress.best.binary_search_by_key(&best.item, |known| known.item) {
            Ok(place) => self.progress.best[place] = best,
            Err(place) => self.progress.best.insert(place, best),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of evaluations are below 2^53")]
    fn measure(&mut self, here: u64) {
        let seconds = self.began.elapsed().as_secs_f64();
        if seconds <= 0.0 {
            return;
        }
        let rate = here as f64 / seconds;
        let left = self.progress.total.saturating_sub(self.progress.done) as f64;
        self.progress.evaluations_per_second = (rate * 10.0).round() / 10.0;
        self.progress.remaining_s = (rate > 0.0).then(|| (left / rate * 10.0).round() / 10.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(item: usize, objective: f64) -> BestPoint {
        BestPoint { item, parameters: serde_json::json!({}), objective: Some(objective) }
    }

    #[test]
    fn totals_follow_what_items_turn_out_to_need() {
        let mut tracker = Tracker::new(300, Vec::new());
        let counts = |tracker: &Tracker| {
            let Progress { done, total, items_done, .. } = tracker.progress();
            (*done, *total, *items_done)
        };
        tracker.item_begins(100);
        tracker.item_was_over(80, Some(best(0, 1.0)));
        assert_eq!(counts(&tracker), (80, 280, 1));
        tracker.item_begins(100);
        tracker.item_runs(32, 60, Some(best(1, 0.5)));
        assert_eq!(counts(&tracker), (112, 240, 1));
        tracker.item_ends(60, Some(best(1, 0.75)));
        assert_eq!(counts(&tracker), (140, 240, 2));
        tracker.item_begins(100);
        tracker.item_ends(0, None);
        assert_eq!(counts(&tracker), (140, 140, 3));
        let objectives: Vec<_> = tracker.progress().best.iter().map(|best| best.objective).collect();
        assert_eq!(objectives, [Some(1.0), Some(0.75)]);
    }
}
