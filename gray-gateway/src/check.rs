//! `--check-config`: the verdict on the documents, without serving: those of the gateway, or with `--egress` those of the service.

use std::process::ExitCode;

use gray_common::service::{SHARED_DOCUMENT, UsageError, gather};
use gray_document::{Origin, Problem, Severity, check_for};
use gray_registry::unix_seconds;

use crate::{
    args::GatewayArgs,
    config::{self, GatewayConfig, SERVICE},
    route::{Configuration, Question, Verdict, judge},
};

/// Reads the documents once and judges them as the running gateway would; the text says what was read.
///
/// # Errors
/// Flags that contradict each other, a certificate that cannot be used, documents that cannot be read.
pub async fn verdict(args: &GatewayArgs) -> anyhow::Result<(Verdict, String)> {
    args.admin_gate().map_err(UsageError)?;
    let (_, tls) = args.certificates()?;
    if let Some((_, service)) = args.egress.listen().map_err(UsageError)? {
        return egress_verdict(args, service).await;
    }
    let fetcher = args.fetcher(&tls);
    let control = &args.service.control;
    let plan = config::plan(control, args.routes_document.as_deref())?;
    let gathered = gather(control, SERVICE, &plan, None, &Configuration::needed()).await?;
    let mut verdict = judge(&Question {
        sources: &gathered.sources(),
        reading: &plan.reading,
        prefix: &control.prefix,
        environment: &|name| std::env::var(name).ok(),
        now: unix_seconds(),
        routes_in: Some(&gathered.own),
    });
    verdict.add(gathered.problems.iter().cloned());
    let problem = |severity, message: String| Problem {
        severity,
        origin: Origin { document: gathered.own.as_str().into(), line: 0 },
        path: "spring.cloud.gateway".into(),
        message,
    };
    let mut more = Vec::new();
    if let Some(read) = &verdict.read {
        let objections = read.key_servers().into_iter().filter_map(|server| fetcher.objection(&server));
        more.extend(
            objections.map(|objection| {
                problem(Severity::Warning, format!("keys of tokens will not be fetched: {objection}"))
            }),
        );
        let is_limited = read.routes.routes().iter().any(|route| !route.filters.rates.is_empty());
        if is_limited && read.has_redis && args.redis.redis.is_none() {
            let message = "rates are counted per gateway process; --redis has them counted in a Redis, with those of \
                           Spring Cloud Gateway";
            more.push(problem(Severity::Note, message.to_owned()));
        }
    }
    verdict.add(more);
    Ok((verdict, gathered.summary()))
}

/// The same of an egress, which reads the documents of its service, without rules and routes.
async fn egress_verdict(args: &GatewayArgs, service: &str) -> anyhow::Result<(Verdict, String)> {
    let control = &args.service.control;
    let plan = config::egress_plan(control, service)?;
    let gathered = gather(control, &args.program(), &plan, Some(SHARED_DOCUMENT), &[]).await?;
    let read = |documents: &_| GatewayConfig::read_egress(documents, &control.prefix);
    let (Ok((_, problems)) | Err(problems)) = check_for(&gathered.sources(), &plan.reading, read);
    let mut verdict = Verdict::from(problems);
    verdict.add(gathered.problems.iter().cloned());
    Ok((verdict, gathered.summary()))
}

/// Prints the verdict to standard error: the last line counts what there is. The exit code is 0 when the documents may be used.
///
/// # Errors
/// As [`verdict`] has them.
pub async fn check(args: &GatewayArgs) -> anyhow::Result<ExitCode> {
    let (verdict, read) = verdict(args).await?;
    verdict.report(args.strict, &read).iter().for_each(|line| eprintln!("{line}"));
    Ok(if verdict.is_good(args.strict) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
