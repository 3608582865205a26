//! One connection: from its declarations to its end, with the subscriptions that the role and the stand-by machine ask for.

use std::{future::pending, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, StreamExt as _};
use gray_core::{Side, balance::VersionPolicy, message::ConsumerState};
use lapin::{
    Channel, Connection,
    message::Delivery,
    options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions},
    types::{FieldTable, ShortString},
};
use metrics::gauge;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use crate::{
    consumer::stopped,
    delivery::{Arrival, Outlets, Work, give_back},
    error::LinkError,
    producer::confirming,
    role::Role,
    routing,
    standby::{Order, Standby},
    telemetry,
};

/// Why a session is over without a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Stopped,
    RoleChanged,
}

/// Tasks, each with one message.
pub(crate) type Tasks = JoinSet<Result<(), LinkError>>;

/// A queue that is taken.
struct Subscription {
    side: Side,
    channel: Channel,
    consumer: lapin::Consumer,
}

impl Subscription {
    /// On a channel of its own, so that its end gives back what was not begun.
    async fn begin(work: &Work, connection: &Connection, side: Side) -> Result<Self, LinkError> {
        let channel = connection.create_channel().await?;
        channel.basic_qos(work.options.in_flight.max(1), BasicQosOptions::default()).await?;
        let (queue, tag) = (work.topology.queue(side), ShortString::from(""));
        let consumer = channel.basic_consume(queue, tag, BasicConsumeOptions::default(), FieldTable::default()).await?;
        Ok(Self { side, channel, consumer })
    }

    async fn next(&mut self) -> Result<Delivery, LinkError> {
        self.consumer.next().await.ok_or(LinkError::Refused("has ended a subscription"))?.map_err(LinkError::from)
    }

    /// Takes no more. What is in hand keeps the channel; the rest goes back now.
    async fn end(mut self) -> Result<(), LinkError> {
        self.channel.basic_cancel(self.consumer.tag(), BasicCancelOptions::default()).await?;
        while let Some(Some(Ok(delivery))) = self.consumer.next().now_or_never() {
            give_back(&delivery).await?;
        }
        Ok(())
    }
}

async fn next(subscription: &mut Option<Subscription>) -> Result<(Delivery, Side, Channel), LinkError> {
    match subscription {
        Some(subscription) => {
            let delivery = subscription.next().await?;
            Ok((delivery, subscription.side, subscription.channel.clone()))
        }
        None => pending().await,
    }
}

/// Its connections: one, unless gray messages are apart.
struct Links {
    baseline: Connection,
    gray: Option<Connection>,
}

impl Links {
    async fn open(work: &Work) -> Result<Self, LinkError> {
        let name = format!("gray {} {}", work.options.service, work.options.instance.version().unwrap_or("-"));
        let baseline = work.options.address.connect(&name).await?;
        let gray = match &work.options.gray_address {
            Some(address) => Some(address.connect(&name).await?),
            None => None,
        };
        Ok(Self { baseline, gray })
    }

    fn of(&self, side: Side) -> &Connection {
        match side {
            Side::Baseline => &self.baseline,
            Side::Gray => self.gray.as_ref().unwrap_or(&self.baseline),
        }
    }
}

/// Consumes until it is stopped, or has another role, or fails.
pub(crate) async fn run(
    work: &Arc<Work>,
    tasks: &mut Tasks,
    states: &watch::Sender<ConsumerState>,
    stopping: &mut watch::Receiver<bool>,
) -> Result<End, LinkError> {
    let Some(role) = role(work).filter(|role| *role != Role::Idle) else { return idle(work, states, stopping).await };
    let links = tokio::select! {
        links = Links::open(work) => links?,
        () = stopped(stopping) => return Ok(End::Stopped),
    };
    let mut session = Session::begin(work, &links, role).await?;
    let end = session.consume(tasks, states, stopping).await;
    if end.is_ok() {
        session.end().await?;
        // The connection stays until what is in hand was acknowledged.
        let finish = async { while tasks.join_next().await.is_some() {} };
        if timeout(work.options.drain, finish).await.is_err() {
            tracing::warn!(
                queue = work.options.queue,
                left = tasks.len(),
                "messages in hand were not finished in time"
            );
        }
    }
    end
}

/// `None` until the settings are known.
fn role(work: &Work) -> Option<Role> {
    let of = |policy: &VersionPolicy| Role::of(&work.options.instance, policy);
    (work.rules)().map(|rules| of(&rules.policy))
}

/// How often it is asked whether the settings have come: until then, no message is taken.
const UNTIL_SETTINGS: Duration = Duration::from_millis(20);

/// How often it is asked who is there: several times within the stand-by time.
fn period(work: &Work) -> Duration {
    (work.options.standby_after / 4).clamp(Duration::from_millis(20), Duration::from_secs(2))
}

/// Waits for a role, first for the settings that give one.
async fn idle(
    work: &Work,
    states: &watch::Sender<ConsumerState>,
    stopping: &mut watch::Receiver<bool>,
) -> Result<End, LinkError> {
    loop {
        let wait = match role(work) {
            None => UNTIL_SETTINGS,
            Some(Role::Idle) => {
                let idle = ConsumerState::Running { side: None, is_standing_in: false };
                if states.send_if_modified(|state| std::mem::replace(state, idle) != idle) {
                    let (queue, version) = (&work.options.queue, work.options.instance.version());
                    tracing::info!(
                        queue,
                        version,
                        "takes no messages: the settings name this version neither as prodVersion nor as grayVersion"
                    );
                }
                period(work)
            }
            Some(_) => return Ok(End::RoleChanged),
        };
        tokio::select! {
            () = stopped(stopping) => return Ok(End::Stopped),
            () = sleep(wait) => {}
        }
    }
}

struct Session<'s> {
    work: &'s Arc<Work>,
    links: &'s Links,
    role: Role,
    /// For questions.
    asking: Channel,
    outlets: Outlets,
    baseline: Option<Subscription>,
    gray: Option<Subscription>,
    /// Says that a gray process is here.
    membership: Option<(Channel, lapin::Consumer)>,
    standby: Standby,
}

impl<'s> Session<'s> {
    async fn begin(work: &'s Arc<Work>, links: &'s Links, role: Role) -> Result<Self, LinkError> {
        let asking = links.of(Side::Gray).create_channel().await?;
        for side in [Side::Baseline, Side::Gray] {
            work.topology.declare(links.of(side), side).await?;
        }
        let outlets = Outlets {
            baseline: confirming(links.of(Side::Baseline)).await?,
            gray: confirming(links.of(Side::Gray)).await?,
        };
        let after = u64::try_from(work.options.standby_after.as_millis()).unwrap_or(u64::MAX);
        let standby = Standby::new(after);
        let mut session =
            Self { work, links, role, asking, outlets, baseline: None, gray: None, membership: None, standby };
        if role == Role::Gray {
            let wants = routing::bindings(&work.options.service, &work.options.instance);
            work.topology.bind_version(&session.asking, &wants).await?;
            session.gray = Some(Subscription::begin(work, links.of(Side::Gray), Side::Gray).await?);
            // Only now: a process that sees it leaves the queue to us.
            let channel = links.of(Side::Gray).create_channel().await?;
            let member = work.topology.join(&channel).await?;
            session.membership = Some((channel, member));
            work.see_gray(true);
        } else {
            session.look().await?;
            session.baseline = Some(Subscription::begin(work, links.of(Side::Baseline), Side::Baseline).await?);
        }
        Ok(session)
    }

    async fn consume(
        &mut self,
        tasks: &mut Tasks,
        states: &watch::Sender<ConsumerState>,
        stopping: &mut watch::Receiver<bool>,
    ) -> Result<End, LinkError> {
        let mut ticks = interval(period(self.work));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let running = ConsumerState::Running {
                side: self.role.side(),
                is_standing_in: self.role == Role::Baseline && self.gray.is_some(),
            };
            states.send_if_modified(|state| std::mem::replace(state, running) != running);
            tokio::select! {
                biased;
                () = stopped(stopping) => return Ok(End::Stopped),
                _ = ticks.tick() => {
                    if role(self.work).is_some_and(|role| role != self.role) {
                        return Ok(End::RoleChanged);
                    }
                    self.look().await?;
                }
                Some(done) = tasks.join_next() => {
                    // Those that came by an earlier connection could not tell it: that is known.
                    if let Ok(Err(error)) = done
                        && (matches!(error, LinkError::QueueGone) || !self.is_whole())
                    {
                        return Err(error);
                    }
                }
                arrived = next(&mut self.gray) => self.begin_work(tasks, arrived?),
                arrived = next(&mut self.baseline) => self.begin_work(tasks, arrived?),
            }
        }
    }

    fn is_whole(&self) -> bool {
        let channels = [&self.asking, &self.outlets.baseline, &self.outlets.gray];
        channels.iter().all(|channel| channel.status().connected())
    }

    fn begin_work(&self, tasks: &mut Tasks, (delivery, side, channel): (Delivery, Side, Channel)) {
        let (work, role, outlets) = (Arc::clone(self.work), self.role, self.outlets.clone());
        tasks.spawn(async move { work.deal(Arrival { delivery, side, role, outlets, _channel: channel }).await });
    }

    /// Asks who is there, and does what follows from it. An answer that takes long is none: who stands in must not go on then.
    async fn look(&mut self) -> Result<(), LinkError> {
        let (work, limit) = (self.work, self.work.options.standby_after / 2);
        let look = timeout(limit, work.topology.look(&self.asking)).await.map_err(|_| LinkError::Silent)??;
        self.show_lag(Side::Gray, look.waiting);
        if self.role == Role::Gray {
            return Ok(());
        }
        if let Some(baseline) = &self.baseline
            && self.links.gray.is_none()
        {
            let waiting = work.topology.waiting(&self.asking, baseline.side).await?;
            self.show_lag(Side::Baseline, waiting);
        }
        let order = self.standby.see(work.now_ms(), look.members);
        work.see_gray(self.standby.is_gray_alive());
        match order {
            Order::Stay => {}
            Order::Subscribe => {
                tracing::info!(queue = work.options.queue, "no gray process is there: its messages are handled here");
                self.gray = Some(Subscription::begin(work, self.links.of(Side::Gray), Side::Gray).await?);
            }
            Order::Cancel => {
                tracing::info!(queue = work.options.queue, "a gray process is there: its messages are left to it");
                if let Some(gray) = self.gray.take() {
                    gray.end().await?;
                }
            }
        }
        Ok(())
    }

    fn show_lag(&self, side: Side, waiting: u32) {
        let version = self.work.options.instance.version().unwrap_or_default().to_owned();
        gauge!(telemetry::LAG, "queue" => self.work.topology.queue(side).to_string(), "version" => version)
            .set(f64::from(waiting));
    }

    /// Leaves in order: first it is said that we go.
    async fn end(mut self) -> Result<(), LinkError> {
        if let Some((channel, member)) = self.membership.take() {
            channel.basic_cancel(member.tag(), BasicCancelOptions::default()).await?;
        }
        for subscription in [self.gray.take(), self.baseline.take()].into_iter().flatten() {
            subscription.end().await?;
        }
        Ok(())
    }
}
