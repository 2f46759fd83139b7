//! The broker against a slow model of it, and laws that hold for every run.

mod case;
mod laws;
mod model;
mod slow;
