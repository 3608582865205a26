//! What the command lines of all programs that serve have in common. Included by the test `command_line` of each.

use crate::process::{Outcome, run};

/// `-V` and `--version` print name and version.
pub(crate) fn tells_its_version(name: &str, program: &str) {
    for flag in ["-V", "--version"] {
        let Outcome { code, out, err } = run(program, &[flag], &[]);
        let version = gray_common::release::version();
        assert_eq!((code, out, err), (0, format!("{name} {version}\n"), String::new()), "{flag}");
    }
}

/// The former form of `--service-version` is refused with its new name, and nothing runs.
pub(crate) fn refuses_the_former_version_flag(program: &str) {
    for (args, variables) in [
        (&["--version", "V2"][..], &[][..]),
        (&["--version=V2"], &[]),
        (&["--port", "0", "--version", "V2", "--config-dir", "/nonexistent"], &[]),
        (&["--check-config"], &[("GRAY_VERSION", "V2")]),
        (&["healthcheck"], &[("GRAY_VERSION", "V2")]),
    ] {
        let Outcome { code, out, err } = run(program, args, variables);
        let told = err.contains("--service-version V2") && err.contains("GRAY_SERVICE_VERSION=V2");
        assert!(code == 2 && told && out.is_empty(), "{args:?} {variables:?}: {code}\n{out}{err}");
    }
    // The flag wins over the variable, as everywhere.
    assert_eq!(run(program, &["--version"], &[("GRAY_VERSION", "V2")]).code, 0);
}

/// The exit codes that every program that serves has (docs/operations.md); `own` are flags it needs besides.
pub(crate) fn has_the_exit_codes_of_services(program: &str, own: &[&str]) {
    let busy = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let busy = busy.local_addr().expect("bound").port().to_string();
    let documents = "../deploy/nacos";
    for (code, args, says) in [
        (0, &["--help"][..], ""),
        (0, &["--check-config", "--config-dir", documents], "in order"),
        (1, &["--check-config", "--config-dir", "/"], "there is no"),
        (1, &["--port", &busy, "--bind", "127.0.0.1", "--config-dir", documents], "is in use"),
        (1, &["--port", "0", "--bind", "192.0.2.1", "--config-dir", documents], "cannot listen on 192.0.2.1:0; choose"),
        (2, &["--port", "0"], "nowhere to read settings from"),
        (2, &["--check-config"], "nowhere to read settings from"),
        (2, &["--port", "0", "--config-dir", "/nonexistent"], "--config-dir"),
        (2, &["--port", "0", "--nacos", "foo:99999"], "`99999` is not a port"),
        (2, &["--check-config", "--nacos", "foo:99999"], "`99999` is not a port"),
        (2, &["--port", "0", "--nacos", "127.0.0.1:1", "--nacos-username", "a"], "GRAY_NACOS_PASSWORD"),
        (2, &["--port", "0", "--config-dir", documents, "--log", "nonsense"], "`nonsense` is not a level"),
        (2, &["--port", "70000"], "70000"),
        (2, &["--weight", "-1"], "0 to 10000"),
        (2, &["--idle-timeout", "0"], "at least 200"),
        (2, &["--service-version", "V 2"], "ASCII letters"),
        (2, &["--nacos-ca", "/nonexistent.pem", "--nacos", "127.0.0.1:1", "--port", "0"], "cannot be read"),
        (2, &["--nonsense"], "--nonsense"),
        (2, &["nonsense"], "nonsense"),
    ] {
        let own = if args.contains(&"--port") { own } else { &[] };
        let Outcome { code: was, out, err } = run(program, &[args, own].concat(), &[]);
        assert!(
            was == code && (out.contains(says) || err.contains(says)),
            "{args:?}: {was}, expected {code} and {says:?}\n{out}{err}"
        );
        // An error that repeats its cause says everything twice.
        assert!(err.matches("cannot listen on").count() < 2 && err.matches("99999`:").count() < 2, "{args:?}: {err}");
    }
    let Outcome { code, err, .. } = run(program, &["--port", "0", "--config-dir", documents], &[("RUST_LOG", "inof")]);
    assert!(code == 2 && err.contains("`inof` is not a level"), "{code}\n{err}");
}
