//! The flags by which a program is told where Kafka is.

use std::{fmt, str::FromStr};

use clap::Args;
use rdkafka::ClientConfig;

/// How often a client looks for topics and partitions that are new, unless it is told otherwise: librdkafka's 5 minutes are long for a topic that
/// is made after its consumers have started.
const REFRESH_MS: &str = "5000";

/// Where Kafka is. For `#[command(flatten)]`.
#[derive(Args, Clone, Debug, Default)]
#[non_exhaustive]
pub struct KafkaArgs {
    /// Kafka, as HOST:PORT; several are separated by commas. Without it: off
    #[arg(long, env = "GRAY_KAFKA", value_name = "HOST:PORT", value_parser = servers)]
    pub kafka: Option<String>,

    /// A setting of librdkafka, session.timeout.ms=6000 for example; may be repeated
    #[arg(long, value_name = "NAME=VALUE", requires = "kafka")]
    pub kafka_set: Vec<Setting>,
}

impl KafkaArgs {
    /// What librdkafka is told; `None` where no broker is named.
    pub fn config(&self) -> Option<ClientConfig> {
        let mut config = ClientConfig::new();
        config.set("topic.metadata.refresh.interval.ms", REFRESH_MS);
        for Setting { name, value } in &self.kafka_set {
            config.set(name, value);
        }
        config.set("bootstrap.servers", self.kafka.as_ref()?);
        Some(config)
    }
}

/// A setting of librdkafka. Its value is not shown: it may be a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Setting {
    name: String,
    value: String,
}

impl FromStr for Setting {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text.split_once('=').ok_or("not a setting: expected NAME=VALUE")?;
        let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_name) || value.bytes().any(|byte| byte == 0) {
            return Err(
                "not a setting of librdkafka: expected a name of lower-case letters, digits, `.` and `_`, then =VALUE",
            );
        }
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=...", self.name)
    }
}

fn servers(text: &str) -> Result<String, String> {
    let is_server = |server: &str| {
        let Some((host, port)) = server.rsplit_once(':') else { return false };
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte);
        let is_whole = host.starts_with('[') == host.ends_with(']') && (host.starts_with('[') || !host.contains(':'));
        !host.is_empty() && host.bytes().all(is_host) && is_whole && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    match text.split(',').find(|server| !is_server(server)) {
        None => Ok(text.to_owned()),
        Some(wrong) => {
            Err(format!("`{wrong}` is not the address of a broker: expected HOST:PORT, several separated by commas"))
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        kafka: KafkaArgs,
    }

    fn read(args: &[&str]) -> Result<Program, clap::Error> {
        Program::try_parse_from([&["program"], args].concat())
    }

    #[test]
    fn addresses_and_settings_are_judged() {
        for server in [
            "",
            "broker",
            "broker:",
            "broker:0",
            "broker:99999",
            "a:1,",
            "a:1,b",
            "http://broker:9092",
            "::1:9092",
            "[::1:9092",
        ] {
            let error = read(&["--kafka", server]).expect_err(server).to_string();
            assert!(error.contains("expected HOST:PORT") || error.contains("a value is required"), "{error}");
        }
        for setting in ["x", "=1", "Group Id=1", "a\0b=1", "a=\0"] {
            let error = read(&["--kafka", "a:1", "--kafka-set", setting]).expect_err(setting).to_string();
            assert!(error.contains("expected"), "{error}");
        }
        assert!(read(&["--kafka-set", "a=1"]).expect_err("alone").to_string().contains("--kafka"));
    }

    #[test]
    fn the_configuration_is_what_was_said() {
        let program = read(&[
            "--kafka",
            "a:9092,[::1]:9093",
            "--kafka-set",
            "sasl.password=a=secret",
            "--kafka-set",
            "bootstrap.servers=b:1",
        ])
        .expect("taken");
        assert!(!format!("{program:?}").contains("secret"), "{program:?}");
        let config = program.kafka.config().expect("a broker");
        assert_eq!(config.get("bootstrap.servers"), Some("a:9092,[::1]:9093"));
        assert_eq!(config.get("sasl.password"), Some("a=secret"));
        assert_eq!(config.get("topic.metadata.refresh.interval.ms"), Some(REFRESH_MS));
        assert!(KafkaArgs::default().config().is_none());
    }
}
