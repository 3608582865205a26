//! The program as a process: its version, and its exit codes.

#[path = "../../tests/shared/process.rs"]
mod process;
#[path = "../../tests/shared/services.rs"]
mod services;

const PROGRAM: &str = env!("CARGO_BIN_EXE_audit-app");

#[test]
fn it_tells_its_version() {
    services::tells_its_version("audit-app", PROGRAM);
}

#[test]
fn the_former_version_flag_is_refused() {
    services::refuses_the_former_version_flag(PROGRAM);
}

#[test]
fn exit_codes_are_as_documented() {
    services::has_the_exit_codes_of_services(PROGRAM, &[]);
    assert_eq!(process::run(PROGRAM, &["healthcheck", "--port", "1"], &[]).code, 1, "nothing listens there");
}
