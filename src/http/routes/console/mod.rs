//! The console: a page for people, with its files ([`files`]) and its sessions ([`session`], [`sign_ins`]). What the page shows it
//! reads from the public API, which takes its session in place of a key.

pub(crate) mod files;
pub(crate) mod session;
pub(crate) mod sign_ins;
