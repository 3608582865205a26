//! The flags by which a program is told where RabbitMQ is.

use clap::Args;

use crate::BrokerAddress;

/// Where RabbitMQ is. For `#[command(flatten)]`.
#[derive(Args, Clone, Debug, Default)]
#[non_exhaustive]
pub struct RabbitMqArgs {
    /// RabbitMQ, as amqp://USER:PASSWORD@HOST:PORT/VHOST. Without it: off
    #[arg(long, env = "GRAY_AMQP", value_name = "URL", hide_env_values = true)]
    pub amqp: Option<BrokerAddress>,

    /// RabbitMQ, or a virtual host of it, for gray messages alone
    #[arg(long, env = "GRAY_GRAY_AMQP", value_name = "URL", hide_env_values = true, requires = "amqp")]
    pub gray_amqp: Option<BrokerAddress>,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        rabbitmq: RabbitMqArgs,
    }

    #[test]
    fn addresses_are_judged_and_not_shown() {
        let read = |args: &[&str]| Program::try_parse_from([&["program"], args].concat());
        for (args, says) in
            [(&["--amqp", "mq:5672"][..], "expected amqp://"), (&["--gray-amqp", "amqp://mq"], "--amqp")]
        {
            let error = read(args).expect_err("refused").to_string();
            assert!(error.contains(says), "{error}");
        }
        let program = read(&["--amqp", "amqp://app:secret@mq/%2f", "--gray-amqp", "amqp://app:secret@mq/gray"]);
        let program = program.expect("taken");
        assert!(program.rabbitmq.gray_amqp.is_some() && !format!("{program:?}").contains("secret"));
        assert!(read(&[]).expect("taken").rabbitmq.amqp.is_none());
    }
}
