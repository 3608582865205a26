//! What one thread owns: its hold on the snapshot, its clock, counters and buffers; and how all of them start and stop.

pub(super) mod buffer;
pub(super) mod clock;
pub(super) mod descriptors;
pub(super) mod held;
pub(super) mod local;
mod sample;
pub(super) mod stage;
pub(super) mod stats;
pub(super) mod workers;
