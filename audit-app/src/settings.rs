//! The command line: what every service has, and where messages come from.

use std::time::Duration;

use clap::Parser;
use gray_common::{flag::duration, release, service::ServiceArgs};

/// Demo of messages. GET /audits answers with the orders that were viewed, as far as this process has handled them. Usual port: 7400
#[derive(Clone, Debug, Parser)]
#[command(name = "audit-app", version = release::version())]
#[cfg_attr(all(feature = "kafka", feature = "rabbitmq"), command(group = clap::ArgGroup::new("broker").args(["kafka", "amqp"])))]
pub struct Settings {
    /// Where Kafka is.
    #[cfg(feature = "kafka")]
    #[command(flatten)]
    pub kafka: gray_kafka::KafkaArgs,

    /// Where RabbitMQ is.
    #[cfg(feature = "rabbitmq")]
    #[command(flatten)]
    pub rabbitmq: gray_rabbitmq::RabbitMqArgs,

    /// How long there has to be no process of the gray version before the baseline handles its messages
    #[arg(long, env = "GRAY_STANDBY_AFTER", value_name = "TIME", default_value = "10s",
          value_parser = duration(Duration::from_millis(200)))]
    pub standby_after: Duration,

    /// What every service has.
    #[command(flatten)]
    pub service: ServiceArgs,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_is_sound() {
        Settings::command().debug_assert();
    }

    #[test]
    fn a_time_of_nothing_is_refused() {
        let error = Settings::try_parse_from(["audit-app", "--standby-after", "0"]).expect_err("0").to_string();
        assert!(error.contains("--standby-after"), "{error}");
    }

    #[cfg(all(feature = "kafka", feature = "rabbitmq"))]
    #[test]
    fn two_brokers_are_refused() {
        let args = ["audit-app", "--amqp", "amqp://mq", "--kafka", "mq:9092"];
        let error = Settings::try_parse_from(args).expect_err("both").to_string();
        assert!(error.contains("--amqp <URL>' cannot be used with '--kafka <HOST:PORT>"), "{error}");
        for one in [&args[..3], &[args[0], args[3], args[4]]] {
            Settings::try_parse_from(one).expect("one of them");
        }
    }
}
