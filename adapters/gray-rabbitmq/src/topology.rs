//! Exchanges and queues of one service.
//!
//! ```text
//! X ──▶ exchange q.gray (headers) ── gray-to[-service] = the gray version ──▶ q.gray
//!              └─ alternate exchange q.baseline (fanout) ────────────────▶ q
//! ```
//!
//! The split stands behind `X`, not before it: with two services on `X`, of which one is under gray release, a gray message would
//! be routed to that one's queue, the alternate exchange would not be asked, and the other service would not get it. So producers
//! keep on publishing to `X`, routing keys keep their meaning, and each service splits what comes to its own queue.
//!
//! Gray members bind `q.gray` to their version: before the first of them, all goes to `q`, by the broker itself. With a virtual
//! host of its own for gray messages the producer chooses the host, and the queue has one name in both.

use gray_core::Side;
use lapin::{
    Channel, Connection, ExchangeKind, Queue,
    options::{
        BasicConsumeOptions, ExchangeBindOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable, ShortString},
};

use crate::{
    error::{LinkError, MAX_NAME_BYTES, OptionsError},
    routing::Pair,
};

/// How an exchange routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exchange {
    /// By the whole routing key.
    Direct,
    /// By patterns of routing keys.
    Topic,
    /// To all.
    Fanout,
}

impl Exchange {
    fn kind(self) -> ExchangeKind {
        match self {
            Self::Direct => ExchangeKind::Direct,
            Self::Topic => ExchangeKind::Topic,
            Self::Fanout => ExchangeKind::Fanout,
        }
    }
}

/// Declares an exchange that outlives the broker's restart.
pub(crate) async fn declare_exchange(channel: &Channel, name: &str, kind: Exchange) -> Result<(), LinkError> {
    let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
    Ok(channel.exchange_declare(name.into(), kind.kind(), options, FieldTable::default()).await?)
}

/// The names, and what is declared.
#[derive(Clone, Debug)]
pub(crate) struct Topology {
    pub(crate) exchange: Box<str>,
    kind: Option<Exchange>,
    routing_key: Box<str>,
    queue: Box<str>,
    /// Whether gray messages have a virtual host of their own.
    is_apart: bool,
}

/// How many messages wait, and how many gray processes are there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) members: u32,
    pub(crate) waiting: u32,
}

impl Topology {
    pub(crate) fn new(
        exchange: &str,
        kind: Option<Exchange>,
        routing_key: &str,
        queue: &str,
        is_apart: bool,
    ) -> Result<Self, OptionsError> {
        for name in [exchange, queue, routing_key] {
            if name.len() > MAX_NAME_BYTES || (name.is_empty() && name != routing_key) {
                return Err(OptionsError::Name(name.to_owned()));
            }
        }
        let (exchange, routing_key, queue) = (exchange.into(), routing_key.into(), queue.into());
        Ok(Self { exchange, kind, routing_key, queue, is_apart })
    }

    fn named(&self, ending: &str) -> ShortString {
        format!("{}{ending}", self.queue).as_str().into()
    }

    /// The queue of one side.
    pub(crate) fn queue(&self, side: Side) -> ShortString {
        match side {
            Side::Gray if !self.is_apart => self.named(".gray"),
            Side::Baseline | Side::Gray => self.named(""),
        }
    }

    /// What could not be handled.
    pub(crate) fn dead(&self) -> ShortString {
        self.named(".dead")
    }

    /// Never holds a message. Gray processes consume from it, and none else does, so the number of its consumers is theirs: that of
    /// `q.gray` counts processes of the baseline as well that stand in. (The management API knows consumers by their tags, but it is
    /// a plugin, wants an account of its own, and its figures are seconds old.)
    pub(crate) fn marker(&self) -> ShortString {
        self.named(".gray.members")
    }

    /// Declares what one side needs, in its virtual host. It may be there already, with arguments of its owner's.
    pub(crate) async fn declare(&self, connection: &Connection, side: Side) -> Result<(), LinkError> {
        let channel = connection.create_channel().await?;
        if let Some(kind) = self.kind {
            declare_exchange(&channel, &self.exchange, kind).await?;
        }
        ensure(connection, self.queue(side)).await?;
        ensure(connection, self.dead()).await?;
        if side == Side::Gray {
            ensure(connection, self.marker()).await?;
        }
        if self.is_apart {
            return self
                .bind(&channel, self.queue(side), &self.exchange, &self.routing_key, FieldTable::default())
                .await;
        }
        if side == Side::Gray {
            ensure(connection, self.queue(Side::Baseline)).await?;
            self.declare_split(&channel).await?;
        }
        Ok(())
    }

    /// `q` keeps its messages meanwhile: they come by the split before the old binding goes.
    async fn declare_split(&self, channel: &Channel) -> Result<(), LinkError> {
        let (split, rest) = (self.named(".gray"), self.named(".baseline"));
        let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
        channel.exchange_declare(rest.clone(), ExchangeKind::Fanout, durable, FieldTable::default()).await?;
        self.bind(channel, self.queue(Side::Baseline), rest.as_str(), "", FieldTable::default()).await?;
        let mut arguments = FieldTable::default();
        arguments.insert("alternate-exchange".into(), AMQPValue::LongString(rest.as_str().into()));
        channel.exchange_declare(split.clone(), ExchangeKind::Headers, durable, arguments).await?;
        let (exchange, key) = (ShortString::from(&*self.exchange), ShortString::from(&*self.routing_key));
        let (options, none) = (ExchangeBindOptions::default(), FieldTable::default());
        channel.exchange_bind(split, exchange.clone(), key.clone(), options, none.clone()).await?;
        Ok(channel.queue_unbind(self.queue(Side::Baseline), exchange, key, none).await?)
    }

    /// Has the messages of a version come to the gray queue.
    pub(crate) async fn bind_version(&self, channel: &Channel, wants: &[Pair]) -> Result<(), LinkError> {
        if self.is_apart || wants.is_empty() {
            return Ok(());
        }
        let mut arguments = FieldTable::default();
        arguments.insert("x-match".into(), AMQPValue::LongString("any".into()));
        // One binding for each value: a table has each name once.
        for (name, value) in wants {
            let mut arguments = arguments.clone();
            let name =
                ShortString::try_new(name.as_str()).map_err(|_| LinkError::Refused("has no room for the name"))?;
            arguments.insert(name, AMQPValue::LongString(value.as_str().into()));
            let split = self.named(".gray");
            self.bind(channel, self.queue(Side::Gray), split.as_str(), "", arguments).await?;
        }
        Ok(())
    }

    /// Asks for the gray processes, and for what waits for them.
    pub(crate) async fn look(&self, channel: &Channel) -> Result<Look, LinkError> {
        let members = seen(channel, self.marker()).await?.consumer_count();
        let waiting = self.waiting(channel, Side::Gray).await?;
        Ok(Look { members, waiting })
    }

    /// How many messages wait in a queue.
    pub(crate) async fn waiting(&self, channel: &Channel, side: Side) -> Result<u32, LinkError> {
        Ok(seen(channel, self.queue(side)).await?.message_count())
    }

    /// Says that a gray process is there, for as long as the channel is.
    pub(crate) async fn join(&self, channel: &Channel) -> Result<lapin::Consumer, LinkError> {
        let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
        Ok(channel.basic_consume(self.marker(), ShortString::from(""), options, FieldTable::default()).await?)
    }

    async fn bind(
        &self,
        channel: &Channel,
        queue: ShortString,
        exchange: &str,
        key: &str,
        arguments: FieldTable,
    ) -> Result<(), LinkError> {
        Ok(channel.queue_bind(queue, exchange.into(), key.into(), QueueBindOptions::default(), arguments).await?)
    }
}

/// A queue that is there; asking for one that is not ends the channel.
async fn seen(channel: &Channel, name: ShortString) -> Result<Queue, LinkError> {
    Ok(channel.queue_declare(name, QueueDeclareOptions::durable().passive(), FieldTable::default()).await?)
}

/// Declares a queue unless it is there: one that its owner has declared with arguments (a quorum queue, a limit) cannot be declared
/// without them.
async fn ensure(connection: &Connection, name: ShortString) -> Result<(), LinkError> {
    match seen(&connection.create_channel().await?, name.clone()).await {
        Err(error) if error.is_not_found() => {
            let channel = connection.create_channel().await?;
            channel.queue_declare(name, QueueDeclareOptions::durable(), FieldTable::default()).await?;
            Ok(())
        }
        seen => seen.map(|_| ()),
    }
}
