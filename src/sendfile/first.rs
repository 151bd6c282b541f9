//! The first step of a send that one call can satisfy, taken before there is a transfer.
//!
//! A small send nearly always is over after one call, and what a transfer keeps, for all that may happen to it, is large beside
//! what that needs. So the look and the call are made first. Where the call sent everything, the position is set and nothing else
//! was ever made. Anything else is told to the machine, whose first steps these are: it decides what follows, as if its driver had taken
//! them.

use std::fs::File;
use std::os::fd::BorrowedFd;

use super::machine::Machine;
use super::native;
use super::plan::{Ask, Plan};
use super::position;
use super::residency::Looked;
use super::steps::Answer;
use super::transfer::{count_call, look};
use crate::event_loop::LoopHandle;

/// What was asked before the transfer, and what came of it.
#[derive(Default)]
pub(super) struct First {
    looked: Option<Looked>,
    answer: Option<Answer>,
}

impl First {
    /// Asks for all of a count at once; nothing where that takes more than one call.
    pub(super) fn take(
        event_loop: &LoopHandle,
        (socket, file): (BorrowedFd<'_>, &File),
        plan: &Plan,
        prefetch: bool,
    ) -> First {
        let mut first = First::default();
        let Ask::Bytes(len) = plan.ask() else {
            return first;
        };
        let offset = plan.position();
        if prefetch {
            let looked = look(event_loop, file, (offset, len));
            // Where there is no answer, what that means must be asked, which may take its time.
            first.looked = (looked != Looked::NoAnswer).then_some(looked);
            if !looked.covers(len) {
                return first;
            }
        }
        let answer = native::send(socket, file, offset, len);
        count_call(event_loop, &answer);
        first.answer = Some(answer);
        first
    }

    /// The bytes sent where that was all; then the file's position is set too.
    pub(super) fn finish(&self, file: &File, plan: &Plan) -> Option<u64> {
        let (Some(Answer::Sent(sent)), Ask::Bytes(len)) = (&self.answer, plan.ask()) else {
            return None;
        };
        if *sent < len {
            return None;
        }
        position::set(file, plan.position() + len as u64);
        Some(len as u64)
    }

    /// Tells the machine that begins.
    pub(super) fn tell(self, machine: &mut Machine) {
        if let Some(looked) = self.looked {
            machine.looked(looked);
        }
        if let Some(answer) = self.answer {
            machine.answered(answer);
        }
    }
}
