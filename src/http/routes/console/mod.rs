//! The console: a page for people, with its files ([`files`]) and its sessions ([`session`]). What the page shows it reads from the
//! public API, which takes its session in place of a key.

pub(crate) mod files;
pub(crate) mod session;
