//! What the demo runs beside the chain: consumers of a broker, a service with jobs. A plan; nothing is looked at or started here.

use std::{fmt, str::FromStr};

use gray_common::service::UsageError;
use http::Uri;

use super::ports;

/// Where a scheduler is expected when none is named: nothing has to be there.
const SCHEDULER: &str = "http://127.0.0.1:8080/xxl-job-admin";

const ONE_BROKER: &str = "--with kafka and --with rabbitmq exclude each other: order-app tells one broker";

/// The brokers that the programs know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Kafka,
    RabbitMq,
}

impl Kind {
    /// The feature of the programs, and what `--with` calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::RabbitMq => "rabbitmq",
        }
    }

    /// The flag of order-app and audit-app, and its variable, by which other users of the machine do not see a password.
    const fn told(self) -> (&'static str, &'static str) {
        match self {
            Self::Kafka => ("--kafka", "GRAY_KAFKA"),
            Self::RabbitMq => ("--amqp", "GRAY_AMQP"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kafka => "Kafka",
            Self::RabbitMq => "RabbitMQ",
        })
    }
}

/// A broker that runs.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Broker {
    pub(crate) kind: Kind,
    address: String,
    /// HOST:PORT, without what the address says beside.
    pub(crate) hosts: Vec<String>,
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.kind, self.hosts.join(", "))
    }
}

/// One `--with`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum With {
    Broker(Broker),
    /// With the scheduler, if it is named.
    Jobs(Option<String>),
}

impl FromStr for With {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, address) = text.split_once('=').map_or((text, None), |(name, address)| (name, Some(address)));
        match name {
            "kafka" => kafka(address.unwrap_or("127.0.0.1:9092")),
            "rabbitmq" => rabbitmq(address.unwrap_or("amqp://guest:guest@127.0.0.1:5672/%2f")),
            "jobs" => address.map(scheduler).transpose().map(Self::Jobs),
            _ => Err("expected kafka, rabbitmq or jobs, each with or without =ADDRESS".to_owned()),
        }
    }
}

fn kafka(address: &str) -> Result<With, String> {
    let hosts: Vec<_> = address.split(',').map(str::to_owned).collect();
    let is_host = |host: &str| host.rsplit_once(':').is_some_and(|(name, port)| !name.is_empty() && is_port(port));
    match hosts.iter().find(|host| !is_host(host)) {
        None => Ok(With::Broker(Broker { kind: Kind::Kafka, address: address.to_owned(), hosts })),
        Some(_) => Err("not the address of Kafka: expected kafka=HOST:PORT, several separated by commas".to_owned()),
    }
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|port| port > 0)
}

fn rabbitmq(address: &str) -> Result<With, String> {
    let uri = address.parse::<Uri>().ok().filter(|uri| uri.scheme_str() == Some("amqp"));
    let host = uri.as_ref().and_then(Uri::host).filter(|host| !host.is_empty());
    let port = uri.as_ref().and_then(|uri| uri.authority()).map(|authority| authority.port_u16().unwrap_or(5672));
    match (host, port) {
        (Some(host), Some(port)) => {
            let hosts = vec![format!("{host}:{port}")];
            Ok(With::Broker(Broker { kind: Kind::RabbitMq, address: address.to_owned(), hosts }))
        }
        _ => Err("not the address of RabbitMQ: expected rabbitmq=amqp://USER:PASSWORD@HOST:PORT/VHOST".to_owned()),
    }
}

fn scheduler(address: &str) -> Result<String, String> {
    let uri = address.parse::<Uri>().ok().filter(|uri| uri.scheme_str() == Some("http") && uri.host().is_some());
    uri.map(|_| address.to_owned())
        .ok_or_else(|| "not the address of a scheduler: expected jobs=http://HOST:PORT/xxl-job-admin".to_owned())
}

/// A service in two versions, V1 and V2. Its variables may have a password.
pub(crate) struct Service {
    pub(crate) name: &'static str,
    /// Below the directory of our own program.
    pub(crate) program: &'static str,
    pub(crate) ports: [u16; 2],
    /// Variables of both; `None` takes one away.
    pub(crate) env: [Vec<(&'static str, Option<String>)>; 2],
}

impl Service {
    fn new(name: &'static str, ports: [u16; 2]) -> Self {
        Self { name, program: name, ports, env: [Vec::new(), Vec::new()] }
    }

    fn with(mut self, name: &'static str, values: [Option<String>; 2]) -> Self {
        for (env, value) in self.env.iter_mut().zip(values) {
            env.push((name, value));
        }
        self
    }
}

/// What is run.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) broker: Option<Broker>,
    jobs: Option<With>,
}

impl Plan {
    /// # Errors
    /// When something is named twice, or two brokers are.
    pub(crate) fn of(with: &[With]) -> Result<Self, UsageError> {
        let twice = |name: &str| Err(UsageError(format!("--with {name} is given twice")));
        let mut plan = Self::default();
        for one in with {
            match one {
                With::Broker(broker) => match plan.broker.replace(broker.clone()) {
                    Some(other) if other.kind == broker.kind => return twice(broker.kind.name()),
                    Some(_) => return Err(UsageError(ONE_BROKER.to_owned())),
                    None => {}
                },
                With::Jobs(_) if plan.jobs.is_some() => return twice("jobs"),
                With::Jobs(_) => plan.jobs = Some(one.clone()),
            }
        }
        Ok(plan)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.broker.is_none() && self.jobs.is_none()
    }

    /// Whether there are jobs without a scheduler.
    pub(crate) fn runs_jobs(&self) -> bool {
        self.jobs == Some(With::Jobs(None))
    }

    /// The services of the chain, and those beside it.
    pub(crate) fn services(&self) -> Vec<Service> {
        let tell = |service: Service| match &self.broker {
            Some(broker) => service.with(broker.kind.told().1, [(); 2].map(|()| Some(broker.address.clone()))),
            None => service,
        };
        let mut services = vec![tell(Service::new("order-app", ports::ORDER)), Service::new("user-app", ports::USER)];
        if self.broker.is_some() {
            services.push(tell(Service::new("audit-app", ports::AUDIT)));
        }
        if let Some(With::Jobs(scheduler)) = &self.jobs {
            let both = |value: Option<&str>| [(); 2].map(|()| value.map(str::to_owned));
            let jobs = Service { program: "examples/view_orders", ..Service::new("jobs-app", ports::JOBS) };
            let jobs = jobs
                .with("JOBS_SCHEDULER", both(Some(scheduler.as_deref().unwrap_or(SCHEDULER))))
                .with("JOBS_BIND", ports::EXECUTORS.map(|port| Some(format!("127.0.0.1:{port}"))))
                .with("JOBS_ADVERTISE", both(None));
            // A token is the scheduler's, which is asked for none where there is none.
            services.push(if scheduler.is_none() { jobs.with("JOBS_TOKEN", both(None)) } else { jobs });
        }
        services
    }

    /// The ports of everything but the gateway.
    pub(crate) fn ports(&self) -> Vec<u16> {
        let executors = self.jobs.iter().flat_map(|_| ports::EXECUTORS);
        self.services().iter().flat_map(|service| service.ports).chain(executors).collect()
    }

    /// Programs whose help has to show a flag: it is there if they were built with the broker's feature.
    pub(crate) fn flags(&self) -> Vec<(&'static str, &'static str)> {
        let broker = self.broker.iter().flat_map(|broker| ["order-app", "audit-app"].map(|name| (name, broker.kind)));
        broker.map(|(name, kind)| (name, kind.told().0)).collect()
    }

    /// How to make the programs.
    pub(crate) fn build(&self) -> String {
        let mut command = "cargo build -p gray-gateway -p order-app -p user-app -p grayctl".to_owned();
        if self.broker.is_some() {
            command.push_str(" -p audit-app");
        }
        if self.jobs.is_some() {
            command.push_str(" -p gray-xxl-job --bins --example view_orders");
        }
        if let Some(broker) = &self.broker {
            let name = broker.kind.name();
            command.push_str(&format!(" --features order-app/{name},audit-app/{name}"));
        }
        command
    }

    /// What to try.
    pub(crate) fn what_next(&self) -> String {
        let (gateway, [v1, v2], [_, executor]) = (ports::GATEWAY.port, ports::AUDIT, ports::EXECUTORS);
        let mut text = String::new();
        if let Some(broker) = &self.broker {
            text.push_str(&format!(
                "\n\nMessages, on {broker}: a viewed order is audited by the version that its request wants.\n\
                \n  curl -H 'gray: gray-996' http://127.0.0.1:{gateway}/order-api/order/N0002\
                \n  curl http://127.0.0.1:{v2}/audits     # V2: \"orderNo\":\"N0002\",\"gray\":\"GRAY\"\
                \n  curl http://127.0.0.1:{v1}/audits     # V1: all others\
                \n  pkill -f 'audit-app --port {v2}'      # then gray orders are audited by V1, after 10 s"
            ));
        }
        match &self.jobs {
            Some(With::Jobs(Some(scheduler))) => text.push_str(&format!(
                "\n\nJobs, by {scheduler}: make the executors `jobs-app` and `jobs-app-gray` there (automatic registration), and in each a job\
                \n  with handler `viewOrders` and parameter `N0001,N0002`. Those of `jobs-app-gray` go to V2 on every hop."
            )),
            Some(_) => text.push_str(&format!(
                "\n\nJobs: curl stands in for the scheduler (--with jobs=http://HOST:PORT/xxl-job-admin names one). A run on the gray executor goes to V2\
                \n  on every hop; each has a logId of its own.\n\
                \n  curl -d '{}' http://127.0.0.1:{executor}/gray/run\
                \n  curl -d '{{\"logId\":2,\"fromLineNum\":1}}' http://127.0.0.1:{executor}/gray/log",
                run(2)
            )),
            None => {}
        }
        text
    }
}

/// What a scheduler says to have orders viewed.
pub(crate) fn run(log_id: u32) -> String {
    format!(
        r#"{{"jobId":1,"logId":{log_id},"glueType":"BEAN","executorHandler":"viewOrders","executorParams":"N0002"}}"#
    )
}

#[cfg(test)]
mod tests {
    use anyhow::Result;

    use super::*;

    fn plan(with: &[&str]) -> Result<Plan, UsageError> {
        let with: Vec<With> = with.iter().map(|one| one.parse().expect("taken")).collect();
        Plan::of(&with)
    }

    #[test]
    fn addresses_are_judged() {
        for (text, says) in [
            ("", "expected kafka, rabbitmq or jobs"),
            ("redis", "expected kafka, rabbitmq or jobs"),
            ("kafka=", "expected kafka=HOST:PORT"),
            ("kafka=mq", "expected kafka=HOST:PORT"),
            ("kafka=a:1,b:0", "expected kafka=HOST:PORT"),
            ("rabbitmq=mq:5672", "expected rabbitmq=amqp://"),
            ("rabbitmq=amqps://mq", "expected rabbitmq=amqp://"),
            ("rabbitmq=", "expected rabbitmq=amqp://"),
            ("jobs=https://a/x", "expected jobs=http://"),
            ("jobs=", "expected jobs=http://"),
        ] {
            let error = text.parse::<With>().expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
        for (text, hosts) in [
            ("kafka", &["127.0.0.1:9092"][..]),
            ("kafka=a:1,b:2", &["a:1", "b:2"]),
            ("rabbitmq", &["127.0.0.1:5672"]),
            ("rabbitmq=amqp://app:secret@mq/orders", &["mq:5672"]),
            ("rabbitmq=amqp://[::1]:5673", &["[::1]:5673"]),
        ] {
            let Ok(With::Broker(broker)) = text.parse() else { panic!("{text}") };
            assert_eq!(broker.hosts, hosts, "{text}");
            assert!(!format!("{broker:?}{broker}").contains("secret"), "{text}");
        }
    }

    #[test]
    fn one_broker_and_each_once() {
        for (with, says) in [
            (&["kafka", "rabbitmq"][..], "exclude each other"),
            (&["kafka", "kafka=a:1"], "twice"),
            (&["jobs", "kafka", "jobs=http://a/x"], "twice"),
        ] {
            let error = plan(with).expect_err("refused").to_string();
            assert!(error.contains(says), "{with:?}: {error}");
        }
    }

    #[test]
    fn a_plan_says_what_runs_where() -> Result<()> {
        for (with, names, flags, build) in [
            (&[][..], "order-app user-app", "", "-p grayctl"),
            (
                &["rabbitmq"],
                "order-app user-app audit-app",
                "--amqp",
                "-p audit-app --features order-app/rabbitmq,audit-app/rabbitmq",
            ),
            (
                &["jobs", "kafka"],
                "order-app user-app audit-app jobs-app",
                "--kafka",
                "-p audit-app -p gray-xxl-job --bins --example view_orders --features order-app/kafka,audit-app/kafka",
            ),
        ] {
            let plan = plan(with)?;
            assert_eq!(plan.is_empty(), with.is_empty());
            let services = plan.services();
            assert_eq!(services.iter().map(|one| one.name).collect::<Vec<_>>().join(" "), names);
            assert!(plan.flags().iter().all(|(_, flag)| *flag == flags), "{with:?}");
            assert!(plan.build().ends_with(build), "{}", plan.build());
            let mut ports = plan.ports();
            ports.extend([ports::GATEWAY.port, ports::GATEWAY.admin_port]);
            let count = ports.len();
            ports.sort_unstable();
            ports.dedup();
            assert_eq!(ports.len(), count, "no port twice: {ports:?}");
        }
        Ok(())
    }

    #[test]
    fn who_is_told_what() -> Result<()> {
        let told = |with: &[&str], name: &str, at: usize| -> Result<Vec<String>> {
            let services = plan(with)?.services();
            let service = services.iter().find(|one| one.name == name).expect("planned");
            Ok(service.env[at]
                .iter()
                .map(|(name, value)| format!("{name}={}", value.as_deref().unwrap_or("-")))
                .collect())
        };
        assert_eq!(told(&["kafka"], "order-app", 0)?, ["GRAY_KAFKA=127.0.0.1:9092"]);
        assert_eq!(told(&["rabbitmq=amqp://a:b@mq/x"], "audit-app", 1)?, ["GRAY_AMQP=amqp://a:b@mq/x"]);
        assert!(told(&["kafka"], "user-app", 0)?.is_empty());
        let alone = [
            "JOBS_SCHEDULER=http://127.0.0.1:8080/xxl-job-admin",
            "JOBS_BIND=127.0.0.1:7512",
            "JOBS_ADVERTISE=-",
            "JOBS_TOKEN=-",
        ];
        assert_eq!(told(&["jobs"], "jobs-app", 1)?, alone);
        let with = ["JOBS_SCHEDULER=http://s:1/x", "JOBS_BIND=127.0.0.1:7511", "JOBS_ADVERTISE=-"];
        assert_eq!(told(&["jobs=http://s:1/x"], "jobs-app", 0)?, with, "the user's token is the scheduler's");
        Ok(())
    }

    #[test]
    fn what_is_printed_can_be_pasted() -> Result<()> {
        let text = plan(&["rabbitmq=amqp://app:secret@mq:1/x", "jobs"])?.what_next();
        assert!(text.contains("RabbitMQ at mq:1") && !text.contains("secret"), "{text}");
        for command in
            ["http://127.0.0.1:7402/audits", "http://127.0.0.1:7512/gray/run", "'{\"logId\":2,\"fromLineNum\":1}'"]
        {
            assert!(text.contains(command), "{text}");
        }
        serde_json::from_str::<serde_json::Value>(&run(2))?;
        assert!(plan(&[])?.what_next().is_empty());
        Ok(())
    }
}
