//! The flags about the Redis in which rates are counted.

use std::sync::Arc;

use crate::{
    rates::{RedisKeys, RedisUrl, SharedRates, WhenDown},
    tls::UpstreamTls,
};

/// Where rates are counted for all gateways together.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct RedisArgs {
    /// Redis in which the rates of RequestRateLimiter are counted for all gateways together, Spring Cloud Gateway's included:
    /// `redis://[USER][:PASSWORD@]HOST[:PORT][/DATABASE]`, rediss:// over TLS; better given in the environment. Without it each
    /// gateway counts by itself
    #[arg(long, help_heading = "Gateway", env = "GRAY_REDIS", hide_env_values = true, value_name = "URL")]
    pub redis: Option<RedisUrl>,

    /// What the counters are called there: as Spring Cloud Gateway 4.3 and 5.0 call them, or 3.1 and 4.1
    #[arg(long, help_heading = "Gateway", env = "GRAY_REDIS_KEYS", value_name = "KEYS", default_value = "route")]
    pub redis_keys: RedisKeys,

    /// What counts while Redis does not answer within 20 ms
    #[arg(long, help_heading = "Gateway", env = "GRAY_REDIS_DOWN", value_name = "WHAT", default_value = "local")]
    pub redis_down: WhenDown,
}

impl RedisArgs {
    /// How rates are shared, if they are; certificates are judged by `tls`.
    pub fn shared(&self, tls: &Arc<UpstreamTls>) -> Option<Arc<SharedRates>> {
        let url = self.redis.clone()?;
        Some(Arc::new(SharedRates::new(url, self.redis_keys, self.redis_down, Arc::clone(tls))))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::args::GatewayArgs;

    #[test]
    fn a_password_is_shown_nowhere() {
        let parse = |args: &[&str]| GatewayArgs::try_parse_from([&["gray-gateway"], args].concat());
        let args = parse(&["--redis", "rediss://me:hunter2hunter2@redis:7000/3"]).expect("valid");
        let shown = format!("{:?} {:?}", args.redis, args.redis.shared(&Default::default()));
        assert!(
            shown.contains("rediss://redis:7000/3") && !shown.contains("hunter2") && !shown.contains("me:"),
            "{shown}"
        );
        for url in [
            "http://hunter2hunter2@redis",
            "redis://hunter2hunter2@redis/x",
            "rediss://a:hunter2hunter2@redis/#insecure",
        ] {
            let error = parse(&["--redis", url]).expect_err("not of Redis").to_string();
            assert!(error.contains("expected redis://"), "{error}");
        }
        for url in [
            "redis-sentinel://:hunter2hunter2@a:26379/mymaster",
            "redis+cluster://a",
            "redis://:hunter2hunter2@a:6379,b:6379",
        ] {
            let error = parse(&["--redis", url]).expect_err("several servers").to_string();
            assert!(error.contains("Sentinel and Redis Cluster are not supported"), "{error}");
        }
        assert!(parse(&["--redis-keys", "user"]).is_err() && parse(&["--redis-down", "closed"]).is_err());
    }
}
