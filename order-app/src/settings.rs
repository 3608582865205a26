//! The command line: what every service has, and the limit of a call to user-app.

use std::time::Duration;

use clap::Parser;
use gray_common::{flag::duration, release, service::ServiceArgs};

/// Demo order service. GET /order/{orderNo} answers with the order and, asked from user-app, its user. Usual port: 7100
#[derive(Clone, Debug, Parser)]
#[command(name = "order-app", version = release::version())]
#[cfg_attr(all(feature = "kafka", feature = "rabbitmq"), command(group = clap::ArgGroup::new("broker").args(["kafka", "amqp"])))]
pub struct Settings {
    /// Longest time for user-app to answer, repeated connects included; after it the caller gets 504
    #[arg(long, env = "GRAY_USER_TIMEOUT", value_name = "TIME", default_value = "3s",
          value_parser = duration(Duration::from_millis(1)))]
    pub user_timeout: Duration,

    /// Kafka: topic `orders` is told that an order was viewed.
    #[cfg(feature = "kafka")]
    #[command(flatten)]
    pub kafka: gray_kafka::KafkaArgs,

    /// RabbitMQ: exchange `orders` is told that an order was viewed.
    #[cfg(feature = "rabbitmq")]
    #[command(flatten)]
    pub rabbitmq: gray_rabbitmq::RabbitMqArgs,

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
    fn a_limit_of_nothing_is_refused() {
        let error = Settings::try_parse_from(["order-app", "--user-timeout", "0"]).expect_err("0").to_string();
        assert!(error.contains("--user-timeout"), "{error}");
    }

    #[cfg(all(feature = "kafka", feature = "rabbitmq"))]
    #[test]
    fn two_brokers_are_refused() {
        let args = ["order-app", "--amqp", "amqp://mq", "--kafka", "mq:9092"];
        let error = Settings::try_parse_from(args).expect_err("both").to_string();
        assert!(error.contains("cannot be used with"), "{error}");
    }
}
