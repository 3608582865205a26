//! End-to-end tests: our programs on a real Nacos. Needs Docker; `make test` sets it up.
//!
//! One binary with a main of its own, because the shared Nacos has to be stopped when the last test is through.

mod blue_green;
mod compose;
mod containers;
mod contract;
mod demo;
mod lifecycle;
mod live;
mod publish;
mod registry_contract;
mod rules;
mod switch;

use std::{process::ExitCode, sync::Arc};

use anyhow::{Context as _, Result};
use e2e_tests::Stage;
use libtest_mimic::{Arguments, Trial};
use tokio::runtime::Runtime;

/// A list of tests; each is `async fn(Arc<Stage>) -> Result<()>`.
macro_rules! trials {
    ($runtime:expr, $stage:expr, [$($family:ident :: $test:ident),* $(,)?]) => {
        vec![$({
            let (handle, stage) = ($runtime.handle().clone(), Arc::clone(&$stage));
            Trial::test(concat!(stringify!($family), "::", stringify!($test)), move || {
                handle.block_on($family::$test(stage)).map_err(|error| format!("{error:#}").into())
            })
        }),*]
    };
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::from_args();
    let runtime = Runtime::new()?;
    let stage = Arc::new(Stage::default());
    // The longest first, so that they do not run alone at the end.
    let trials = trials!(
        runtime,
        stage,
        [
            lifecycle::nacos_missing_at_start,
            live::settings_change_without_a_failed_request,
            blue_green::a_hundred_switches_under_load,
            compose::three_scenarios,
            containers::three_scenarios,
            live::instances_change_without_a_failed_request,
            live::a_bad_document_is_refused,
            live::a_deleted_document_stays_in_effect,
            blue_green::a_request_in_flight_finishes_as_it_began,
            lifecycle::sigterm_loses_no_request,
            lifecycle::a_killed_instance_is_left_out,
            lifecycle::nacos_outage_loses_no_request,
            lifecycle::wrong_namespace,
            lifecycle::port_in_use,
            lifecycle::empty_version,
            lifecycle::fallbacks,
            lifecycle::no_user_app,
            switch::services_off,
            switch::gateway_off,
            rules::client_address,
            rules::city,
            rules::user_number,
            rules::nothing_matches,
            rules::header,
            rules::a_clients_own_tag_changes_nothing,
            contract::registration,
            contract::answers,
            contract::unknown_things,
            contract::methods,
            contract::pass_through,
            contract::bad_requests,
            contract::upstream_errors,
            publish::documents_arrive_once,
            registry_contract::registry,
            registry_contract::documents,
            demo::runs_and_leaves_nothing_behind,
        ]
    );
    let conclusion = libtest_mimic::run(&arguments, trials);
    let stage = Arc::into_inner(stage).context("a test still holds the stage")?;
    runtime.block_on(stage.close())?;
    Ok(conclusion.exit_code())
}
