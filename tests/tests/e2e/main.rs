//! End-to-end tests: our programs on a real Nacos. Needs Docker; `make test` sets it up.
//!
//! One binary with a main of its own, because the shared Nacos has to be stopped when the last test is through.

mod blue_green;
mod browser;
mod compose;
mod containers;
mod contract;
mod demo;
mod egress;
mod eureka;
mod facade;
mod front;
mod gray_publish;
mod handover;
mod homes;
mod lanes;
mod lifecycle;
mod live;
mod matchers;
mod nacos_login;
mod nacos_tls;
mod pipeline;
mod places;
mod publish;
mod registry_contract;
mod rules;
mod scorecard;
mod shares;
mod signing;
mod snapshot;
mod spaces;
mod switch;

use std::{process::ExitCode, sync::Arc};

use anyhow::{Context as _, Result};
use e2e_tests::{Stage, scorecard::Ground};
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
    let ground = Arc::new(Ground::new(Arc::clone(&stage), false));
    let mut trials = scorecard::trials(&runtime, &ground);
    trials.extend(browser::trials(&runtime));
    trials.extend(trials!(
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
            eureka::a_fleet_moves_from_nacos_without_a_failed_request,
            eureka::an_outage_loses_no_request,
            eureka::the_registry,
            eureka::an_exact_version_by_a_metadata_key_of_its_own,
            blue_green::a_request_in_flight_finishes_as_it_began,
            lifecycle::sigterm_loses_no_request,
            lifecycle::a_killed_instance_is_left_out,
            lifecycle::nacos_outage_loses_no_request,
            lifecycle::wrong_namespace,
            lifecycle::port_in_use,
            lifecycle::empty_version,
            lifecycle::fallbacks,
            lifecycle::no_user_app,
            egress::services_without_gray_code_stay_on_the_lane,
            switch::services_off,
            switch::gateway_off,
            spaces::gray_orders_in_a_namespace_of_their_own,
            spaces::rules_change_live_without_a_failed_request,
            homes::a_route_leads_to_another_group_or_namespace,
            homes::routes_name_groups_themselves,
            homes::instances_of_the_own_cluster_come_first,
            shares::the_same_users_on_every_gateway_and_after_a_restart,
            shares::two_canaries_exclude_each_other_and_stop_at_once,
            lanes::header_address_and_user_as_ever,
            lanes::an_exact_version_and_headers_that_travel,
            lanes::a_or_b_by_value_cookie_and_device,
            lanes::users_on_tagged_instances_and_nobody_else,
            places::versions_by_service_and_fallbacks,
            places::an_edge_forbids_and_nobody_is_hidden,
            places::a_drained_address_gets_nothing_and_comes_back,
            places::static_instances_without_any_registry,
            places::a_registry_and_static_instances_side_by_side,
            matchers::a_few_of_each_kind,
            matchers::claims_of_a_token_and_members_of_a_cookie,
            snapshot::a_gateway_starts_without_nacos,
            handover::restarts_under_load_lose_nothing,
            handover::a_successor_that_fails_changes_nothing,
            front::page_cookie_and_backend_agree,
            front::https_in_and_http_out,
            signing::a_forged_lane_is_refused_by_every_service,
            signing::switched_off_signed_tags_pass_every_hop,
            signing::the_path_is_for_testers_alone,
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
            gray_publish::for_some_gateways_first,
            pipeline::a_release_by_its_tag_and_back,
            pipeline::a_tag_flipped_in_nacos_counts_within_two_seconds,
            facade::three_versions,
            facade::a_reader_sees_what_is_disabled,
            nacos_login::a_new_secret_costs_no_request,
            nacos_login::a_gateway_that_may_only_read_serves,
            nacos_tls::instances_and_documents_travel_over_tls,
            registry_contract::registry,
            registry_contract::documents,
            demo::runs_and_leaves_nothing_behind,
        ]
    ));
    let conclusion = libtest_mimic::run(&arguments, trials);
    let ground = Arc::into_inner(ground).context("a test still holds the ground")?;
    runtime.block_on(ground.close())?;
    let stage = Arc::into_inner(stage).context("a test still holds the stage")?;
    runtime.block_on(stage.close())?;
    Ok(conclusion.exit_code())
}
