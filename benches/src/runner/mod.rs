//! Starting sides, giving them work in turns, and what came of it.

pub mod program;
pub mod results;
pub mod rounds;
pub mod side;
pub mod strace;
