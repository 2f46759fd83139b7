//! Searches: what they find, what they may try, and that threads change nothing.

mod functions;
mod items;
mod laws;
mod quality;
