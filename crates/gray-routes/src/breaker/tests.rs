use gray_document::Documents;

use super::*;
use crate::RouteTable;

/// The table of a document, and its problems as they are shown.
fn read(text: &str) -> (RouteTable, Vec<String>) {
    let documents =
        Documents::parse(&[("g.yaml", text)], &|_| None).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    let table = RouteTable::read(&documents.root());
    let problems = documents.take_problems();
    (table, problems.iter().map(|problem| format!("{:?} {problem}", problem.severity)).collect())
}

/// One route with these filters, and settings.
fn document(settings: &str, filters: &str) -> String {
    format!(
        "{settings}\nspring.cloud.gateway.routes:\n- {{ id: one, uri: 'lb://s', predicates: ['Path=/a/{{seg}}'], filters: [ {filters} ] }}\n"
    )
}

/// The breaker of a document in which nothing is wrong but that nothing is known of its fallback.
fn breaker(settings: &str, filters: &str) -> CircuitBreaker {
    let (table, problems) = read(&document(settings, filters));
    let others: Vec<_> = problems.iter().filter(|problem| !problem.contains("Java controller")).collect();
    assert!(others.is_empty(), "{others:#?}");
    CircuitBreaker::clone(table.routes()[0].filters.breaker.as_ref().expect(filters))
}

#[test]
fn every_spelling() {
    let shown = |filter: &str| {
        let breaker = breaker("", filter);
        let fallback = breaker.fallback.as_ref().map(FallbackUri::sample).unwrap_or_default();
        let covered: Vec<_> = (100..600).filter(|status| breaker.covers(*status)).collect();
        format!(
            "{} {fallback} {covered:?} {:?} {}",
            breaker.name,
            breaker.time_limit.expect("a limit"),
            breaker.policy.window
        )
    };
    for (filter, expect) in [
        ("CircuitBreaker=x", "x  [] 1s 100"),
        ("CircuitBreaker", "one  [] 1s 100"),
        ("Hystrix=x", "x  [] 1s 100"),
        ("{ name: CircuitBreaker, args: { name: x, fallbackUri: 'forward:/f' } }", "x /f [] 1s 100"),
        ("{ name: CircuitBreaker, args: { name: x, fallback-uri: /f } }", "x /f [] 1s 100"),
        ("{ name: Hystrix, args: { name: x, fallbackUri: 'forward:/f/{seg}' } }", "x /f/x [] 1s 100"),
        ("{ name: CircuitBreaker, args: { name: x, statusCodes: [500, NOT_FOUND] } }", "x  [404, 500] 1s 100"),
        ("{ name: CircuitBreaker, args: { name: x, statusCodes: '500, 503' } }", "x  [500, 503] 1s 100"),
        (
            "{ name: CircuitBreaker, args: { name: x, statusCodes.0: '500', resumeWithoutError: true } }",
            "x  [500] 1s 100",
        ),
    ] {
        let filter = filter.replace("statusCodes.0", "statusCodes");
        assert_eq!(shown(&filter), expect, "{filter}");
    }
}

#[test]
fn what_is_wrong_is_said() {
    for (settings, filter, expect) in [
        ("", "Hystrix", "needs `name`"),
        (
            "",
            "'CircuitBreaker=name=x,fallbackUri=/f'",
            "Warning g.yaml:3: spring.cloud.gateway.routes[0].filters[0]: Spring reads",
        ),
        (
            "",
            "{ name: CircuitBreaker, args: { name: x, fallbackUri: 'http://elsewhere/f' } }",
            "expected forward:/path",
        ),
        ("", "{ name: CircuitBreaker, args: { name: x, fallbackUri: 'forward:f' } }", "expected forward:/path"),
        ("", "{ name: CircuitBreaker, args: { name: x, fallbackUri: 'forward:/a/../b' } }", "dot segment"),
        ("", "{ name: CircuitBreaker, args: { name: x, fallbackUri: 'forward://b' } }", "different ways"),
        ("", "{ name: CircuitBreaker, args: { name: x, fallbackUri: 'forward:/a%2fb' } }", "different ways"),
        (
            "",
            "{ name: CircuitBreaker, args: { name: x, fallbackUri: 'forward:/a?b={seg}' } }",
            "cannot stand in a query",
        ),
        ("", "{ name: CircuitBreaker, args: { name: x, fallbackUri: 'forward:/{other}' } }", "not a variable"),
        ("", "{ name: CircuitBreaker, args: { name: x, statusCodes: TEAPOT } }", "TEAPOT"),
        ("", "{ name: CircuitBreaker, args: { name: x, fallback: /f } }", "no argument"),
        ("", "'CircuitBreaker=x', 'CircuitBreaker=y'", "more than one circuit breaker"),
        ("resilience4j.circuitbreaker.instances.x: { slidingWindowSize: 0 }", "CircuitBreaker=x", "from 1 to 10000"),
        ("resilience4j.circuitbreaker.instances.x: { slidingWindowSize: 100000000 }", "", "from 1 to 10000"),
        ("resilience4j.circuitbreaker.instances.x: { failureRateThreshold: 101 }", "", "not a percentage"),
        (
            "resilience4j.circuitbreaker.instances.x: { slidingWindowType: TIME_BASED, slidingWindowSize: 601 }",
            "",
            "601 seconds: a window of time has at most 600",
        ),
        ("resilience4j.circuitbreaker.instances.x: { slidingWindowType: DAILY }", "", "COUNT_BASED or TIME_BASED"),
        ("resilience4j.circuitbreaker.instances.x: { base-config: y }", "", "one of `configs`"),
        (
            "resilience4j.circuitbreaker.configs: { y: { base-config: z }, z: { base-config: y } }",
            "",
            "build on itself",
        ),
        ("resilience4j.circuitbreaker.instances.x: { recordExceptions: [java.io.IOException] }", "", "Java classes"),
        ("resilience4j.timelimiter.instances.x: { timeoutDuration: 0 }", "", "longer than 0"),
    ] {
        let (_, problems) = read(&document(settings, filter));
        assert!(problems.iter().any(|problem| problem.contains(expect)), "{settings} {filter}: {problems:#?}");
    }
}

#[test]
fn settings_by_name() {
    const SETTINGS: &str = "
resilience4j:
  circuitbreaker:
    configs:
      default: { sliding-window-size: 50, registerHealthIndicator: true }
      shared: { slidingWindowSize: 20, minimum_number_of_calls: 5, failureRateThreshold: 12.5 }
      more: { baseConfig: shared, waitDurationInOpenState: 5s }
      group: { slowCallDurationThreshold: 2000 }
    instances:
      timed: { slidingWindowType: TIME_BASED, slidingWindowSize: 30 }
      plain: { permittedNumberOfCallsInHalfOpenState: 3 }
      based: { base-config: more, slowCallRateThreshold: 80, automaticTransitionFromOpenToHalfOpenEnabled: true }
  timelimiter:
    configs.default.timeoutDuration: 3s
    instances.based.timeout-duration: PT0.5S
hystrix.command:
  default: { execution.isolation.thread.timeoutInMilliseconds: 4000, circuitBreaker.requestVolumeThreshold: 7 }
  h: { circuitBreaker: { sleepWindowInMilliseconds: 100, errorThresholdPercentage: 20 } }
  endless: { execution.timeout.enabled: false, circuitBreaker.enabled: false }";
    let shown = |filter: &str| {
        let CircuitBreaker { policy, time_limit, .. } = breaker(SETTINGS, filter);
        let BreakerPolicy { window, is_timed, min_calls, failure_rate, slow_rate, slow_ms, open_ms, trials, .. } =
            policy;
        let limit = time_limit.map(|limit| limit.as_millis());
        let window = if is_timed { format!("{window}s") } else { window.to_string() };
        format!("{window} {min_calls} {failure_rate} {slow_rate} {slow_ms} {open_ms} {trials} {limit:?}")
    };
    for (filter, expect) in [
        ("CircuitBreaker=other", "50 100 5000 10000 60000 60000 10 Some(3000)"),
        ("CircuitBreaker=timed", "30s 100 5000 10000 60000 60000 10 Some(3000)"),
        ("CircuitBreaker=plain", "50 100 5000 10000 60000 60000 3 Some(3000)"),
        ("CircuitBreaker=based", "20 5 1250 8000 60000 5000 10 Some(500)"),
        ("CircuitBreaker=group", "100 100 5000 10000 2000 60000 10 Some(3000)"),
        ("Hystrix=other", "100 7 5000 10000 60000 5000 1 Some(4000)"),
        ("Hystrix=h", "100 7 2000 10000 60000 100 1 Some(4000)"),
        ("Hystrix=endless", "100 7 0 0 60000 5000 1 None"),
    ] {
        assert_eq!(shown(filter), expect, "{filter}");
    }
    for filter in ["CircuitBreaker=x", "Hystrix=x"] {
        assert_eq!(breaker("", filter).time_limit, Some(Duration::from_secs(1)), "{filter}");
    }
    let none = "spring.cloud.circuitbreaker.resilience4j.disableTimeLimiter: true";
    assert_eq!(breaker(none, "CircuitBreaker=x").time_limit, None);
}

/// A common breaker and a route's own come to one.
#[test]
fn one_within_another() {
    let common = "{ name: CircuitBreaker, args: { name: all, fallbackUri: /all, statusCodes: 500 } }";
    let limits = "resilience4j.timelimiter.instances.all.timeoutDuration: 200ms";
    for (own, expect) in [
        ("{ name: CircuitBreaker, args: { name: own, statusCodes: 502 } }", "own /all [500, 502] 200ms"),
        ("{ name: CircuitBreaker, args: { name: own, fallbackUri: /own } }", "own /own [500] 200ms"),
    ] {
        let text = document(&format!("{limits}\nspring.cloud.gateway.default-filters: [{common}]"), own);
        let (table, _) = read(&text);
        let breaker = table.routes()[0].filters.breaker.as_ref().expect(own);
        let covered: Vec<_> = (100..600).filter(|status| breaker.covers(*status)).collect();
        let fallback = breaker.fallback.as_ref().expect("a fallback").sample();
        let shown = format!("{} {fallback} {covered:?} {:?}", breaker.name, breaker.time_limit.expect("a limit"));
        assert_eq!(shown, expect, "{own}");
    }
}
