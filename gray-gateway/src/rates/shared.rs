//! Rates that gateways count together, in a Redis: under the same names and with the same meaning as Spring Cloud Gateway, so that
//! both may count side by side while one takes over from the other.

use std::{borrow::Cow, fmt, net::IpAddr, str::FromStr, sync::Arc, time::Duration};

use clap::ValueEnum;
use gray_rules::Facts;
use redis::{ConnectionAddr, IntoConnectionInfo as _, RedisConnectionInfo, Script};
use ring::digest;

use crate::{
    client_address::counted_as,
    route::{RateKey, RateLimit, Route},
    tls::UpstreamTls,
};

/// Longest name of a client that is kept as it is, in bytes: a longer one is a digest, so that clients cannot fill the memory.
const MAX_NAME: usize = 256;
/// So long a request waits for Redis.
const WAIT: Duration = Duration::from_millis(20);

/// A token bucket. `KEYS`: the tokens that are left, and when that was; `ARGV`: tokens that come back per second, tokens at most,
/// tokens that are taken. Returns whether they were there (1 or 0), and what is left. The time is that of the server, in
/// whole seconds; a bucket is forgotten after twice the time that it takes to be full, and one that is full sooner than that can
/// be told in whole seconds is not kept at all.
const BUCKET: &str = "
-- Before Redis 5 a script that has asked for the time may not write without it.
if redis.replicate_commands then redis.replicate_commands() end
local rate, most, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local now = tonumber(redis.call('TIME')[1])
local tokens = tonumber(redis.call('GET', KEYS[1])) or most
local since = tonumber(redis.call('GET', KEYS[2])) or 0
tokens = math.min(most, tokens + math.max(0, now - since) * rate)
local passes = 0
if tokens >= cost then
  passes, tokens = 1, tokens - cost
end
local keep = math.floor(2 * most / rate)
if keep > 0 then
  redis.call('SETEX', KEYS[1], keep, tokens)
  redis.call('SETEX', KEYS[2], keep, now)
end
return { passes, tokens }
";

/// Where a Redis is, and who asks: `redis://[USER][:PASSWORD@]HOST[:PORT][/DATABASE]`, `rediss://` over TLS. `Debug` shows neither
/// user nor password.
#[derive(Clone)]
pub struct RedisUrl {
    pub(super) host: Box<str>,
    pub(super) port: u16,
    pub(super) is_tls: bool,
    pub(super) settings: RedisConnectionInfo,
}

impl FromStr for RedisUrl {
    type Err = String;

    /// The error shows nothing of the text: there may be a password in it.
    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected redis://[USER][:PASSWORD@]HOST[:PORT][/DATABASE], or rediss:// for TLS";
        const SINGLE: &str =
            "Redis Sentinel and Redis Cluster are not supported: expected the address of one server, redis://HOST:PORT";
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").ok_or(EXPECTED)?;
        let is_tls = match scheme {
            "redis" => false,
            "rediss" => true,
            // As clients of Java and Go write them.
            _ if ["sentinel", "cluster"].iter().any(|kind| scheme.to_ascii_lowercase().contains(kind)) => {
                return Err(SINGLE.into());
            }
            _ => return Err(EXPECTED.into()),
        };
        // Among them one that has any certificate accepted.
        if rest.contains(['#', '?']) {
            return Err(format!("options are not supported; {EXPECTED}"));
        }
        let address = rest.split('/').next().unwrap_or_default().rsplit('@').next().unwrap_or_default();
        if address.contains(',') {
            return Err(SINGLE.into());
        }
        let info = format!("redis://{rest}").into_connection_info().map_err(|_| EXPECTED)?;
        let ConnectionAddr::Tcp(host, port) = info.addr() else { return Err(EXPECTED.into()) };
        if info.redis_settings().db() < 0 {
            return Err(EXPECTED.into());
        }
        let settings = info.redis_settings().clone().set_skip_set_lib_name();
        Ok(Self { host: host.as_str().into(), port: *port, is_tls, settings })
    }
}

impl fmt::Display for RedisUrl {
    /// Without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "rediss" } else { "redis" };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.to_string() };
        write!(f, "{scheme}://{host}:{}/{}", self.port, self.settings.db())
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}

/// What a bucket is called in Redis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum RedisKeys {
    /// By route and client, as Spring Cloud Gateway 4.3 and 5.0
    #[default]
    Route,
    /// By client alone, as Spring Cloud Gateway 3.1 and 4.1
    Client,
}

/// What counts while Redis does not answer in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum WhenDown {
    /// This gateway's own count
    #[default]
    Local,
    /// Nothing: every request passes, as in Spring
    Open,
}

/// How rates are shared.
#[derive(Debug)]
pub struct SharedRates {
    pub(super) url: RedisUrl,
    pub(super) tls: Arc<UpstreamTls>,
    pub(super) when_down: WhenDown,
    pub(super) script: Script,
    pub(super) wait: Duration,
    keys: RedisKeys,
}

impl SharedRates {
    /// In this Redis, whose certificate is judged like those of instances.
    pub fn new(url: RedisUrl, keys: RedisKeys, when_down: WhenDown, tls: Arc<UpstreamTls>) -> Self {
        Self { url, tls, when_down, keys, script: Script::new(BUCKET), wait: WAIT }
    }

    /// With another time than 20 ms that a request waits for Redis.
    #[must_use]
    pub fn waiting(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    /// The names of the tokens that are left and of when that was, for the limit at this place of the route.
    pub(super) fn names(&self, route: &Route, place: usize, client: &[u8]) -> [Vec<u8>; 2] {
        let limits = &route.filters.rates;
        let is_common = limits.get(place).is_some_and(|limit| limit.is_common);
        // Spring has one limit on a route; several are told apart.
        let nth = limits.iter().take(place).filter(|limit| limit.is_common == is_common).count();
        // What Spring calls the route of a default filter.
        let owner = if is_common { "defaultFilters" } else { &*route.id };
        let mut name = b"request_rate_limiter.{".to_vec();
        if self.keys == RedisKeys::Route {
            name.extend_from_slice(owner.as_bytes());
            name.push(b'.');
        }
        name.extend_from_slice(client);
        name.push(b'}');
        if nth > 0 {
            name.extend_from_slice(format!(".{}", nth + 1).as_bytes());
        }
        [[&name[..], b".tokens"].concat(), [&name[..], b".timestamp"].concat()]
    }
}

/// Who the request counts as, as a Java system's key resolver would say it.
pub(super) fn client_of<'f>(
    limit: &'f RateLimit,
    route: &'f Route,
    facts: &'f impl Facts,
    user: Option<&'f str>,
) -> Cow<'f, [u8]> {
    let address = || {
        let address = facts.client_ip().map(counted_as).as_ref().map(IpAddr::to_string);
        Cow::Owned(address.unwrap_or_default().into_bytes())
    };
    let client = match &limit.key {
        RateKey::Client => address(),
        RateKey::User => user.map_or_else(address, |user| Cow::Borrowed(user.as_bytes())),
        RateKey::Route => Cow::Borrowed(route.id.as_bytes()),
        RateKey::Header(name) => facts.headers(name).next().map_or_else(address, Cow::Borrowed),
    };
    if client.len() <= MAX_NAME {
        return client;
    }
    let digest = digest::digest(&digest::SHA256, &client);
    let hexadecimal: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Cow::Owned(format!("sha256:{hexadecimal}").into_bytes())
}
