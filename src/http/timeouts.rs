//! The time-outs of the parts of a request, in the order in which they apply. The client's parts come first, because
//! clients are slow or gone; the store's own bounds (`store::postgres::pool`, `store::sqlite`) end sooner than the work on a
//! request, which is a backstop.
//!
//! | part | constant |
//! |---|---|
//! | an open connection without a request | [`IDLE_TIMEOUT`] |
//! | a request's head | [`HEAD_TIMEOUT`] |
//! | a pause within its body | [`BODY_PAUSE_TIMEOUT`] |
//! | its body as a whole | [`BODY_TIMEOUT`] |
//! | the body of a sign-in to the console as a whole | [`SIGN_IN_TIMEOUT`] |
//! | the work on it | [`WORK_TIMEOUT`] |
//! | the first piece of an export, before its head is sent | [`FIRST_PIECE_TIMEOUT`] |
//! | the rest of a body that was refused | [`BODY_DRAIN_TIMEOUT`] |
//! | a client's taking of the answer | [`ANSWER_TIMEOUT`] |
//! | a probe's question to the store | [`PROBE_TIMEOUT`] |

use std::time::Duration;

use crate::deadline::ANSWER_WITHIN;

/// From the end of a request to the first byte of the next: longer than Caddy (2 minutes) and nginx (1 minute) keep theirs.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(130);
/// From a connection's start, or from the first byte of a later request, to the end of the request's head.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two parts of a body.
pub(crate) const BODY_PAUSE_TIMEOUT: Duration = Duration::from_secs(5);
/// From a body's first byte to its last.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// The body of a sign-in: a few hundred bytes, which come with the head, from somebody who has shown no key.
pub(crate) const SIGN_IN_TIMEOUT: Duration = Duration::from_secs(2);
/// The work on a request once its body is there. A backstop: the bounds of the parts should end it first.
pub(crate) const WORK_TIMEOUT: Duration = Duration::from_secs(10);
const _: () = assert!(ANSWER_WITHIN.as_millis() < WORK_TIMEOUT.as_millis(), "a post is answered before it is given up");
/// The first piece of an export. A failure until then is a problem; if the piece takes longer, the head of the answer is sent
/// without it, because [`WORK_TIMEOUT`] would end the request.
pub(crate) const FIRST_PIECE_TIMEOUT: Duration = Duration::from_secs(5);
/// The reading of what is left of a body that was refused.
pub(crate) const BODY_DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// A client's taking of an answer; of one that streams, such as an export or a live stream, or of an upgraded connection, any part of it.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The store's answer to a probe. Monitors give up after a few seconds.
pub(crate) const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
