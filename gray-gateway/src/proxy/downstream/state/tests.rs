//! Deadlines to the tick, on a clock that is moved by hand.

use super::*;
use crate::proxy::{limits::Limits, worker::clock::ticks};

fn state() -> (Rc<Clock>, Rc<Times>, State) {
    let clock = Rc::new(Clock::new());
    let times = Rc::new(Times::new(&Limits::default()));
    let state = State::new(Rc::clone(&clock), Rc::clone(&times), false);
    state.may_pause(600);
    (clock, times, state)
}

/// The tick at which the sweeper finds something.
fn found(clock: &Clock, state: &State) -> Option<u64> {
    (clock.now()..10_000).find(|tick| {
        clock.set(*tick);
        state.sweep(*tick)
    })
}

#[test]
fn an_instance_that_falls_silent_has_its_time_once() {
    let (clock, _, state) = state();
    state.busy();
    // The head has passed before the first look.
    assert!(!state.relaying(100, true, 10));
    assert_eq!(found(&clock, &state), Some(11));
    assert!(state.relaying(100, true, 10), "not twice");
    // What moves has its time anew, what is held up by the client has none.
    assert!(!state.relaying(101, true, 10));
    assert!(!state.relaying(101, false, 10));
    assert_eq!(found(&clock, &state), None);
}

#[test]
fn a_worker_that_was_held_up_does_not_catch_up() {
    let clock = Clock::new();
    let deadline = clock.deadline(3);
    std::thread::sleep(Duration::from_millis(250));
    assert_eq!([clock.tick(), clock.tick(), clock.tick(), clock.tick()], [1, 2, 3, deadline]);
    // When nothing was waited for, it does.
    std::thread::sleep(Duration::from_millis(250));
    clock.catch_up();
    assert!(clock.now() >= deadline + 2);
}

#[test]
fn limits_never_end_early() {
    for (millis, expect) in [(0, 0), (1, 1), (100, 1), (101, 2), (250, 3), (8_000, 80)] {
        assert_eq!(ticks(Duration::from_millis(millis)), expect, "{millis}");
    }
    assert_eq!((ticks(Duration::MAX), duration(u64::MAX) > Duration::from_secs(1 << 40)), (u64::MAX, true));
}

#[test]
fn an_upload_that_was_fast_may_pause_and_pressure_ends_it() {
    let (clock, times, state) = state();
    state.sending(300, Some(0), false);
    clock.set(10);
    state.uploading(1 << 20, false);
    assert_eq!(found(&clock, &state), Some(611));
    assert_eq!(state.gave_up(), Some(GaveUp::Upload));

    clock.set(1_000);
    state.sending(300, Some(0), false);
    state.uploading(1 << 20, false);
    clock.set(1_050);
    times.press(true);
    assert_eq!(found(&clock, &state), Some(1_101));
    assert_eq!(state.gave_up(), Some(GaveUp::Upload));
}

#[test]
fn a_download_that_was_fast_may_pause_and_another_may_not() {
    let (clock, times, state) = state();
    state.busy();
    assert!(!state.writing(100_000, true));
    assert_eq!(state.resting(100_000), None);
    assert_eq!(found(&clock, &state), Some(76), "nothing was taken");
    assert!(state.writing(100_000, true));
    state.responded();

    clock.set(1_000);
    state.busy();
    assert!(!state.writing(1 << 20, true));
    assert_eq!(state.resting(1 << 20), Some(Duration::from_secs(60)));
    assert_eq!(state.resting(1 << 20), None, "it was said");
    assert_eq!(found(&clock, &state), Some(1_601));
    times.press(true);
    assert_eq!(state.resting(1 << 20), Some(Duration::from_secs(10)));
    assert!(state.writing(1 << 20, true));
    state.responded();
    // The next answer is short, and the kernel is told so.
    times.press(false);
    state.busy();
    assert_eq!(
        (state.resting(1 << 20), state.resting(1_000)),
        (Some(Duration::from_secs(60)), Some(Duration::from_secs(10)))
    );
}
