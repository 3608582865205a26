//! The instances that a registry announces for this process: a task for each, which does what it is told in order.
//!
//! What a task does is its own: a caller that stops waiting leaves nothing half done.

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use gray_core::instance::Instance;
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};

use crate::RegistryError;

/// A call to a server failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// No answer within the limit.
    Timeout(Duration),
    /// An answer, but not the one we want; or no server that gives one.
    Failed(String),
    /// It answers, and does not let us: a token is not valid (any more), or the user has no right to this.
    Refused(String),
}

impl CallError {
    /// The same, for the caller of a [`Registry`](crate::Registry).
    pub fn into_registry_error(self, operation: &'static str, service: &str) -> RegistryError {
        let service = service.to_owned();
        match self {
            Self::Timeout(limit) => RegistryError::Timeout { operation, service, limit },
            Self::Failed(reason) => RegistryError::Failed { operation, service, reason },
            Self::Refused(reason) => RegistryError::Refused { operation, service, reason },
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(limit) => write!(f, "no answer within {limit:?}"),
            Self::Failed(reason) | Self::Refused(reason) => f.write_str(reason),
        }
    }
}

/// Announces one instance of one service, and keeps it announced.
pub trait Announcer: Send + 'static {
    /// Announces the instance, or replaces what is announced by it.
    fn register(&mut self, instance: Instance) -> impl Future<Output = Result<(), CallError>> + Send;

    /// Takes the instance back. Nothing is asked of it any more.
    fn deregister(&mut self, instance: Instance) -> impl Future<Output = Result<(), CallError>> + Send;

    /// Whether there is something to keep.
    fn is_announced(&self) -> bool;

    /// Waits, then looks after the instance once. Dropped at any `await` when another call comes: every step leaves a state from
    /// which the next one goes on.
    fn keep(&mut self) -> impl Future<Output = ()> + Send;
}

type Reply = oneshot::Sender<Result<(), CallError>>;

enum Command {
    Register(Instance, Reply),
    Deregister(Instance, Reply),
}

/// All instances that are announced, by service and address.
pub struct Announcements {
    by_address: Mutex<HashMap<(String, String), mpsc::Sender<Command>>>,
    tasks: Mutex<JoinSet<()>>,
    runtime: Handle,
}

impl Announcements {
    /// None yet; their tasks will run there.
    pub fn new(runtime: Handle) -> Self {
        Self { by_address: Mutex::default(), tasks: Mutex::default(), runtime }
    }

    /// Announces an instance by an announcer of its own, made when it is first needed.
    ///
    /// # Errors
    /// What the announcer says; no answer within the limit. It goes on all the same.
    pub async fn register<A: Announcer>(
        &self,
        service: &str,
        instance: &Instance,
        limit: Duration,
        announcer: impl FnOnce() -> A,
    ) -> Result<(), RegistryError> {
        let commands = self.commands(service, instance, announcer);
        let outcome = call(&commands, limit, |reply| Command::Register(instance.clone(), reply)).await;
        outcome.map_err(|failure| failure.into_registry_error("registration", service))
    }

    /// Takes an instance back. Without effect when it is not announced.
    ///
    /// # Errors
    /// What the announcer says; no answer within the limit. It goes on all the same.
    pub async fn deregister(&self, service: &str, instance: &Instance, limit: Duration) -> Result<(), RegistryError> {
        let announced = lock(&self.by_address).remove(&(service.to_owned(), instance.authority()));
        let Some(commands) = announced else { return Ok(()) };
        let outcome = call(&commands, limit, |reply| Command::Deregister(instance.clone(), reply)).await;
        outcome.map_err(|failure| failure.into_registry_error("deregistration", service))
    }

    fn commands<A: Announcer>(
        &self,
        service: &str,
        instance: &Instance,
        announcer: impl FnOnce() -> A,
    ) -> mpsc::Sender<Command> {
        let key = (service.to_owned(), instance.authority());
        let mut by_address = lock(&self.by_address);
        match by_address.get(&key) {
            Some(commands) if !commands.is_closed() => commands.clone(),
            _ => {
                let (commands, receiver) = mpsc::channel(4);
                let mut tasks = lock(&self.tasks);
                while tasks.try_join_next().is_some() {}
                tasks.spawn_on(run(announcer(), receiver), &self.runtime);
                drop(tasks);
                by_address.insert(key, commands.clone());
                commands
            }
        }
    }
}

impl fmt::Debug for Announcements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(lock(&self.by_address).keys()).finish()
    }
}

/// Serves commands until the instance is taken back.
async fn run(mut announcer: impl Announcer, mut commands: mpsc::Receiver<Command>) {
    loop {
        tokio::select! {
            biased;
            command = commands.recv() => match command {
                Some(Command::Register(instance, reply)) => {
                    let outcome = announcer.register(instance).await;
                    // The caller has stopped waiting: the outcome stands all the same.
                    drop(reply.send(outcome));
                }
                Some(Command::Deregister(instance, reply)) => {
                    drop(reply.send(announcer.deregister(instance).await));
                    return;
                }
                None => return,
            },
            () = announcer.keep(), if announcer.is_announced() => {}
        }
    }
}

/// Sends a command and waits for its outcome, all within `limit`.
async fn call(
    commands: &mpsc::Sender<Command>,
    limit: Duration,
    command: impl FnOnce(Reply) -> Command,
) -> Result<(), CallError> {
    let (reply, outcome) = oneshot::channel();
    let exchange = async {
        let gone = || CallError::Failed("the instance was taken back at the same time".into());
        commands.send(command(reply)).await.map_err(|_| gone())?;
        outcome.await.map_err(|_| gone())?
    };
    timeout(limit, exchange).await.unwrap_or(Err(CallError::Timeout(limit)))
}

/// No code panics while holding one of our locks, and what they protect is valid at every step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    /// Reports what is asked of it; a registration waits for a permit.
    struct Scripted {
        said: mpsc::UnboundedSender<&'static str>,
        permits: Arc<Semaphore>,
        is_announced: bool,
    }

    impl Announcer for Scripted {
        async fn register(&mut self, _instance: Instance) -> Result<(), CallError> {
            let permit = self.permits.acquire().await;
            permit.map_err(|_| CallError::Refused("closed".into()))?.forget();
            self.is_announced = true;
            self.said.send("registered").expect("heard");
            Ok(())
        }

        async fn deregister(&mut self, _instance: Instance) -> Result<(), CallError> {
            self.said.send("deregistered").expect("heard");
            Ok(())
        }

        fn is_announced(&self) -> bool {
            self.is_announced
        }

        async fn keep(&mut self) {
            self.said.send("keeps").expect("heard");
            std::future::pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_stops_waiting_undoes_nothing() {
        let (said, mut heard) = mpsc::unbounded_channel();
        let (permits, limit) = (Arc::new(Semaphore::new(0)), Duration::from_secs(1));
        let announcements = Announcements::new(Handle::current());
        let instance = Instance::new("10.0.0.1", 80);
        let made = || Scripted { said: said.clone(), permits: Arc::clone(&permits), is_announced: false };

        announcements.deregister("a", &instance, limit).await.expect("nothing is announced");
        let late = announcements.register("a", &instance, limit, made).await.expect_err("no permit");
        assert!(late.to_string().contains("registration of a got no answer within 1s"), "{late}");
        permits.add_permits(1);
        assert_eq!((heard.recv().await, heard.recv().await), (Some("registered"), Some("keeps")));

        // The same announcer: the address is the same.
        let again = || -> Scripted { unreachable!("one for each address") };
        permits.add_permits(1);
        announcements.register("a", &instance, limit, again).await.expect("registered");
        assert_eq!((heard.recv().await, heard.recv().await), (Some("registered"), Some("keeps")));
        announcements.deregister("a", &instance, limit).await.expect("deregistered");
        assert_eq!(heard.recv().await, Some("deregistered"));

        // And anew, where it was taken back.
        permits.close();
        let refused = announcements.register("a", &instance, limit, made).await.expect_err("closed");
        assert!(matches!(refused, RegistryError::Refused { operation: "registration", .. }), "{refused}");
    }
}
