//! One list of cases, measured twice: in time by criterion (`cargo bench`), and in instructions by callgrind
//! (`scripts/bench-guard.sh` runs the same program with `--count` under valgrind). The gateway's benchmarks use it, too.

use std::time::Duration;

use criterion::Criterion;
use rustix::time::{ClockId, clock_gettime};

/// What is measured: set up once, then run again and again.
type Run = Box<dyn FnMut()>;

/// One case.
struct Case {
    name: String,
    /// How often callgrind runs it; its count is divided by this.
    times: u32,
    set_up: Box<dyn Fn() -> Run>,
}

/// All cases of a program.
#[derive(Default)]
pub(crate) struct Cases(Vec<Case>);

impl Cases {
    /// Adds a case that takes nanoseconds.
    pub(crate) fn add<F: FnMut() + 'static>(&mut self, name: impl Into<String>, set_up: impl Fn() -> F + 'static) {
        self.repeated(name.into(), 64, set_up);
    }

    /// Adds a case that takes milliseconds.
    pub(crate) fn add_slow<F: FnMut() + 'static>(&mut self, name: impl Into<String>, set_up: impl Fn() -> F + 'static) {
        self.repeated(name.into(), 1, set_up);
    }

    fn repeated<F: FnMut() + 'static>(&mut self, name: String, times: u32, set_up: impl Fn() -> F + 'static) {
        self.0.push(Case { name, times, set_up: Box::new(move || Box::new(set_up())) });
    }

    /// Measures as the command line says.
    pub(crate) fn measure(self) {
        if std::env::args().any(|arg| arg == "--count") {
            return self.count();
        }
        let limit = Duration::from_millis;
        let criterion = Criterion::default().warm_up_time(limit(300)).measurement_time(limit(1000)).without_plots();
        let mut criterion = criterion.configure_from_args();
        for case in self.0 {
            criterion.bench_function(&case.name, |bencher| {
                let mut run = (case.set_up)();
                bencher.iter_custom(|times| {
                    let began = cpu_time();
                    (0..times).for_each(|_| run());
                    cpu_time() - began
                });
            });
        }
        criterion.final_summary();
    }

    /// Runs each case under the eyes of callgrind, which writes one dump per call of `counted`, and names them in order.
    #[expect(clippy::print_stdout, reason = "the script reads it")]
    fn count(self) {
        for case in self.0 {
            let mut run = (case.set_up)();
            // What is built on first use is not part of a request.
            run();
            counted(&mut *run, case.times);
            println!("{} {}", case.name, case.times);
        }
    }
}

/// What this thread has computed so far: time in which others had the core does not count.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// Callgrind counts what happens below this function, by its name.
#[inline(never)]
fn counted(run: &mut dyn FnMut(), times: u32) {
    for _ in 0..times {
        run();
    }
}
