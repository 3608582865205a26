//! Scheduled jobs under gray release: an executor of the xxl-job protocol, for services of gray-chain.
//!
//! A process registers at the scheduler as executor of `app`, or of `app-gray` when its version is the gray one. A job
//! belongs to one of the two groups, so it runs on baseline executors or on gray ones. A run has a release context as a request has:
//! calls that its handler makes through the starter's client go to the versions of its lane, carry tag and lane, and are signed.
//! Who is gray is what the documents say, live: a version that is promoted moves from `app-gray` to `app`.
//!
//! ```no_run
//! use gray_xxl_job::{Executor, Run, StopLimits};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let executor = Executor::builder("order-app")
//!     .version("V2")
//!     .scheduler("http://127.0.0.1:8080/xxl-job-admin")
//!     .token("a secret of your own")
//!     .job("cleanUp", async |run: Run| {
//!         run.log(format_args!("part {:?}", run.shard()));
//!         Ok::<_, std::io::Error>("cleaned up".to_owned())
//!     })
//!     .start()
//!     .await?;
//! // On the way out:
//! executor.stop(StopLimits::default()).await;
//! # Ok(()) }
//! ```
//!
//! What decides is pure: which group ([`Side`]), which run starts, waits or is refused (`desk`), what is kept of logs (`journal`)
//! and of callbacks (`outbox`). Around it: `server` (the scheduler calls), `upkeep` (we call the scheduler), `runner` (runs).
//!
//! Depends on gray-context and gray-core alone.

mod desk;
mod error;
mod executor;
mod journal;
mod outbox;
mod release;
mod run;
mod runner;
mod scheduler;
mod server;
mod shared;
mod side;
mod telemetry;
mod upkeep;
mod wire;

pub use error::StartError;
pub use executor::{Executor, ExecutorBuilder, StopLimits, Stopped};
pub use gray_context::JobRules;
pub use gray_core::Side;
pub use run::{JobError, Run, Shard};
