//! What documents say of circuit breakers by name: `resilience4j.circuitbreaker`, `resilience4j.timelimiter`,
//! `hystrix.command`. What Java code says (customizers) cannot be seen.

use std::{collections::HashMap, time::Duration};

use gray_core::breaker::BreakerPolicy;
use gray_document::{Item, Section};

use crate::{definition::relaxed, text::quoted};

/// What is kept of one name.
const NAME: usize = 512;
/// Most configurations that build on each other.
const MAX_BASES: usize = 8;
/// The time limit of Spring Cloud CircuitBreaker, and of Hystrix.
const TIME_LIMIT: Duration = Duration::from_secs(1);
/// Properties that say nothing of when it opens.
const HARMLESS: [&str; 5] = [
    "registerhealthindicator",
    "eventconsumerbuffersize",
    "allowhealthindicatortofail",
    "writablestacktraceenabled",
    "automatictransitionfromopentohalfopenenabled",
];

/// What breakers of each name go by.
#[derive(Debug, Default)]
pub(crate) struct BreakerSettings {
    policies: HashMap<String, BreakerPolicy>,
    limits: HashMap<String, Duration>,
    has_no_limits: bool,
    hystrix: HashMap<String, (BreakerPolicy, Option<Duration>)>,
}

/// The key under which the common settings are: no filter has this name.
const DEFAULT: &str = "\0default";

impl BreakerSettings {
    pub(crate) fn read(root: &Section<'_>) -> Self {
        let no_limits = root.section("spring.cloud.circuitbreaker.resilience4j");
        let mut settings = Self {
            policies: Group::read(&root.section("resilience4j.circuitbreaker"), &policy),
            limits: Group::read(&root.section("resilience4j.timelimiter"), &limit),
            has_no_limits: no_limits.bool("disable-time-limiter").unwrap_or(false),
            hystrix: HashMap::new(),
        };
        let commands = root.section("hystrix.command").keys();
        let common = commands.iter().find(|(name, _)| name == "default");
        let common = common.map_or_else(hystrix_default, |(_, item)| hystrix(item, hystrix_default()));
        for (name, item) in commands.iter().filter(|(name, _)| name != "default") {
            if item.spend("circuit breakers", NAME) {
                settings.hystrix.insert(name.clone(), hystrix(item, common.clone()));
            }
        }
        settings.hystrix.insert(DEFAULT.to_owned(), common);
        settings
    }

    /// When a breaker of this name opens, and how long a call may take.
    pub(crate) fn of(&self, name: &str, is_hystrix: bool) -> (BreakerPolicy, Option<Duration>) {
        if is_hystrix {
            let known = self.hystrix.get(name).or_else(|| self.hystrix.get(DEFAULT));
            return known.cloned().unwrap_or_else(hystrix_default);
        }
        let policy = self.policies.get(name).or_else(|| self.policies.get(DEFAULT)).cloned().unwrap_or_default();
        let limit = self.limits.get(name).or_else(|| self.limits.get(DEFAULT)).copied().unwrap_or(TIME_LIMIT);
        (policy, Some(limit).filter(|_| !self.has_no_limits))
    }
}

/// `configs` and `instances` of one kind.
struct Group<'d, 'r, T> {
    configs: HashMap<String, Item<'d>>,
    known: HashMap<String, T>,
    read: &'r dyn Fn(&Section<'d>, T) -> T,
}

impl<'d, T: Clone + FromNothing> Group<'d, '_, T> {
    /// What is said of each name, that of all others under [`DEFAULT`].
    fn read(section: &Section<'d>, read: &dyn Fn(&Section<'d>, T) -> T) -> HashMap<String, T> {
        let configs = section.section("configs").keys();
        let names: Vec<_> = configs.iter().map(|(name, _)| name.clone()).collect();
        let mut group = Group { configs: configs.into_iter().collect(), known: HashMap::new(), read };
        for name in &names {
            group.config(name, 0);
        }
        let common = group.known.get("default").cloned();
        let mut all = group.known.clone();
        // Older documents say `backends`.
        for key in ["backends", "instances"] {
            for (name, item) in section.section(key).keys() {
                if !item.spend("circuit breakers", NAME) {
                    continue;
                }
                let own = item.section();
                let base = base_of(&own).map(|base| group.base(&own, &base, 0));
                let base = base.or_else(|| common.clone()).unwrap_or_else(T::nothing);
                all.insert(name, (group.read)(&own, base));
            }
        }
        if let Some(common) = common {
            all.insert(DEFAULT.to_owned(), common);
        }
        all
    }

    fn config(&mut self, name: &str, depth: usize) -> Option<T> {
        if let Some(known) = self.known.get(name) {
            return Some(known.clone());
        }
        let item = self.configs.get(name)?.clone();
        if !item.spend("circuit breakers", NAME) {
            return None;
        }
        let own = item.section();
        let base = base_of(&own).map_or_else(T::nothing, |base| self.base(&own, &base, depth + 1));
        let value = (self.read)(&own, base);
        self.known.insert(name.to_owned(), value.clone());
        Some(value)
    }

    fn base(&mut self, of: &Section<'_>, name: &str, depth: usize) -> T {
        let found = if depth < MAX_BASES { self.config(name, depth) } else { None };
        found.unwrap_or_else(|| {
            of.error(
                "base-config",
                format!(
                    "expected the name of one of `configs`, which does not build on itself, found {}",
                    quoted(name)
                ),
            );
            T::nothing()
        })
    }
}

/// Where nothing is said.
trait FromNothing {
    fn nothing() -> Self;
}

impl FromNothing for BreakerPolicy {
    fn nothing() -> Self {
        Self::default()
    }
}

impl FromNothing for Duration {
    fn nothing() -> Self {
        TIME_LIMIT
    }
}

fn base_of(section: &Section<'_>) -> Option<String> {
    section.string("base-config")
}

fn limit(section: &Section<'_>, base: Duration) -> Duration {
    match section.duration("timeout-duration") {
        Some(limit) if limit.is_zero() => {
            section.error("timeout-duration", "must be longer than 0");
            base
        }
        limit => limit.unwrap_or(base),
    }
}

fn policy(section: &Section<'_>, mut policy: BreakerPolicy) -> BreakerPolicy {
    let most = u64::from(BreakerPolicy::MAX_WINDOW);
    let count = |key: &str, value: &mut u32| {
        if section.has(key)
            && let Some(number) = section.whole(key, 1..=most)
        {
            *value = number;
        }
    };
    count("sliding-window-size", &mut policy.window);
    // Older documents call them so.
    count("ring-buffer-size-in-closed-state", &mut policy.window);
    count("minimum-number-of-calls", &mut policy.min_calls);
    count("permitted-number-of-calls-in-half-open-state", &mut policy.trials);
    count("ring-buffer-size-in-half-open-state", &mut policy.trials);
    for (key, rate) in
        [("failure-rate-threshold", &mut policy.failure_rate), ("slow-call-rate-threshold", &mut policy.slow_rate)]
    {
        match section.f64(key) {
            Some(percent) if percent > 0.0 && percent <= 100.0 => *rate = (percent * 100.0).round().max(1.0) as u32,
            Some(percent) => section.error(key, format!("`{percent}` is not a percentage above 0, up to 100")),
            None => {}
        }
    }
    for (key, ms) in
        [("slow-call-duration-threshold", &mut policy.slow_ms), ("wait-duration-in-open-state", &mut policy.open_ms)]
    {
        if let Some(duration) = section.duration(key) {
            *ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        }
    }
    if let Some(kind) = section.string("sliding-window-type") {
        match relaxed(&kind).as_str() {
            "countbased" => policy.is_timed = false,
            "timebased" => policy.is_timed = true,
            _ => section
                .error("sliding-window-type", format!("expected COUNT_BASED or TIME_BASED, found {}", quoted(&kind))),
        }
    }
    if policy.is_timed && policy.window > BreakerPolicy::MAX_SECONDS {
        let (found, most) = (policy.window, BreakerPolicy::MAX_SECONDS);
        section.error("sliding-window-size", format!("{found} seconds: a window of time has at most {most}"));
    }
    for (key, item) in section.peek_keys() {
        let name = relaxed(&key);
        let is_java = ["exception", "predicate", "intervalfunction"].iter().any(|part| name.contains(part));
        if is_java && !HARMLESS.contains(&name.as_str()) {
            item.warn(
                "a matter of Java classes, which do not exist here: what fails is a connection, a broken answer, the time limit, \
                 and the filter's `statusCodes`",
            );
        }
    }
    policy
}

fn hystrix_default() -> (BreakerPolicy, Option<Duration>) {
    let mut policy = BreakerPolicy::default();
    (policy.min_calls, policy.open_ms, policy.trials) = (20, 5_000, 1);
    (policy, Some(TIME_LIMIT))
}

fn hystrix(item: &Item<'_>, base: (BreakerPolicy, Option<Duration>)) -> (BreakerPolicy, Option<Duration>) {
    let (mut policy, mut limit) = base;
    let section = item.section();
    let execution = section.section("execution");
    if let Some(ms) = execution.section("isolation.thread").u64("timeout-in-milliseconds") {
        limit = Some(Duration::from_millis(ms)).filter(|limit| !limit.is_zero());
    }
    if execution.section("timeout").bool("enabled") == Some(false) {
        limit = None;
    }
    let breaker = section.section("circuit-breaker");
    let most = u64::from(BreakerPolicy::MAX_WINDOW);
    if breaker.has("request-volume-threshold")
        && let Some(calls) = breaker.whole("request-volume-threshold", 1..=most)
    {
        policy.min_calls = calls;
        policy.window = policy.window.max(calls);
    }
    if let Some(ms) = breaker.u64("sleep-window-in-milliseconds") {
        policy.open_ms = ms;
    }
    if breaker.has("error-threshold-percentage")
        && let Some(percent) = breaker.whole::<u32>("error-threshold-percentage", 1..=100)
    {
        policy.failure_rate = percent * 100;
    }
    if breaker.bool("enabled") == Some(false) {
        // None is reached.
        (policy.failure_rate, policy.slow_rate) = (0, 0);
    }
    (policy, limit)
}
