//! Spring Cloud Gateway beside ours: both get the same documents ([`cases`]) and the same requests, byte by byte, in front of
//! the same [`backend`]. What a client and an instance see of it is an outcome ([`observe`]); where two differ, the table of
//! [`differences`] must say why. What Spring said is kept in `answers/` ([`answers`]), so that a test needs no Java.

pub mod answers;
pub mod backend;
pub mod cases;
pub mod differences;
pub mod document;
mod generated;
pub mod observe;
pub mod ours;
pub mod release;
pub mod request;
pub mod run;
pub mod spring;
mod wire;
