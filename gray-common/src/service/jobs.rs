//! What of the settings concerns scheduled jobs, for an executor that follows it.

use gray_context::{CallSigning, JobRules};
use gray_settings::GraySettings;
use tokio::sync::watch;

use super::GrayService;

impl GrayService {
    /// What the service goes by when it runs scheduled jobs, live; `None` until the settings are known. For the adapter of a scheduler,
    /// which has to act on a change (another group of executors), where [`messages`](Self::messages) need only ask.
    pub fn jobs(&self) -> watch::Receiver<Option<JobRules>> {
        let mut settings = self.settings.subscribe();
        let known = settings.borrow_and_update().current.as_deref().map(job_rules);
        let (sender, rules) = watch::channel(known);
        #[expect(clippy::disallowed_methods, reason = "a background task: no request, no release context")]
        // The handle is let go: the task ends with its receivers.
        drop(tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = sender.closed() => return,
                    changed = settings.changed() => if changed.is_err() {
                        return;
                    },
                }
                let known = settings.borrow_and_update().current.as_deref().map(job_rules);
                // Most changes of the settings do not concern jobs.
                sender.send_if_modified(|rules| {
                    let is_other = *rules != known;
                    *rules = known;
                    is_other
                });
            }
        }));
        rules
    }
}

fn job_rules(settings: &GraySettings) -> JobRules {
    let mut rules = JobRules::new(settings.policy.clone());
    rules.baggage = settings.mesh.baggage;
    let signing = settings.mesh.signing.as_ref();
    rules.signing = signing.map(|one| CallSigning::new(one.keys.clone(), one.ttl));
    rules
}
