//! What a request costs in the pure core, and what a new snapshot costs. `docs/benchmarks.md` has the figures.

mod balance;
mod decide;
mod harness;
mod message;
mod wire;

fn main() {
    let mut cases = harness::Cases::default();
    decide::cases(&mut cases);
    balance::cases(&mut cases);
    wire::cases(&mut cases);
    message::cases(&mut cases);
    cases.measure();
}
