//! The program as a process: its version, and its exit codes.

#[path = "../../tests/shared/process.rs"]
mod process;
#[path = "../../tests/shared/services.rs"]
mod services;

const PROGRAM: &str = env!("CARGO_BIN_EXE_gray-gateway");

#[test]
fn it_tells_its_version() {
    services::tells_its_version("gray-gateway", PROGRAM);
}

#[test]
fn the_former_version_flag_is_refused() {
    services::refuses_the_former_version_flag(PROGRAM);
}

#[test]
fn exit_codes_are_as_documented() {
    services::has_the_exit_codes_of_services(PROGRAM, &["--admin-port", "0"]);
    for (code, args, says) in [
        (1, &["healthcheck", "--admin-port", "1"][..], "does not answer"),
        // It asks the admin side: another port would be a question that is not asked.
        (2, &["healthcheck", "--port", "7000"], "--admin-port"),
        (2, &["--port", "7000", "healthcheck"], "--admin-port"),
        (2, &["--admin-bind", "0.0.0.0", "--admin-port", "0", "--config-dir", "/"], "--admin-token"),
        (2, &["--tls-cert", "/nonexistent.pem", "--tls-key", "/nonexistent.pem", "--port", "0"], "cannot be read"),
        (2, &["--tls-cert", "/nonexistent.pem"], "--tls-key"),
        (2, &["--workers", "0"], "at least 1"),
        (2, &["--head-timeout", "0"], "at least 200"),
        (2, &["--max-uri-bytes", "1"], "256 to 1048576"),
        (2, &["--replay-buffer", "-1"], "0 to 1000000"),
    ] {
        let process::Outcome { code: was, out, err } = process::run(PROGRAM, args, &[]);
        assert!(was == code && err.contains(says), "{args:?}: {was}, expected {code} and {says:?}\n{out}{err}");
    }
}
