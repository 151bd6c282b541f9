//! Starts sides, gives them work in turns and keeps the results.

pub mod before;
pub mod program;
pub mod results;
pub mod rounds;
pub mod side;
pub mod strace;
