//! Every answer that is not a success: an RFC 9457 problem.

mod answer;
mod code;
mod documented;
mod errors;

pub(crate) use self::answer::{Body, CONTENT_TYPE, Problem};
pub(crate) use self::code::Code;
pub(crate) use self::documented::{
    BacktestProblems, CorrectionProblems, DeletionProblems, ExportProblems, FileProblems, GapProblems, GetProblems,
    JobListProblems, JobProblems, JobStartProblems, PostProblems, ResultProblems, SignalFileProblems, SignalProblems,
    StrategyProblems, responses,
};
