use clap::{CommandFactory as _, Parser};
use gray_registry::Health;

use super::*;

#[derive(Parser, Debug)]
struct Program {
    #[command(flatten)]
    control: ControlArgs,
}

fn args(line: &str) -> ControlArgs {
    Program::try_parse_from(std::iter::once("program").chain(line.split_whitespace())).expect(line).control
}

#[tokio::test]
async fn what_cannot_work_is_said_at_once_with_what_would() {
    let cases = [
        ("", "--nacos HOST:PORT"),
        ("--registry-dir DIR", "--config-dir DIR"),
        ("--nacos http://nacos:8848", "expected HOST:PORT"),
        ("--nacos nacos:port", "is not a port"),
        ("--nacos nacos --group=", "DEFAULT_GROUP"),
        ("--nacos nacos --nacos-username u", "GRAY_NACOS_PASSWORD"),
        ("--nacos nacos --nacos-username u --nacos-password ENC(a/b==)", "give the plain password"),
        ("--config-dir /nowhere/at/all", "expected a directory with common-config.yaml"),
        ("--config-dir DIR --register-in gray-ns", "there is no registry with spaces"),
        ("--eureka http://e:8761/eureka", "Eureka has none"),
        ("--eureka eureka:8761 --config-dir DIR", "--eureka eureka:8761: `eureka:8761` has no scheme"),
        ("--eureka http://bob:s3cret@e:0/ --config-dir DIR", "--eureka http://e:0/: `http://e:0/` has no port"),
        ("--eureka https://e/ --eureka-ca nobody.pem --config-dir DIR", "--eureka-ca nobody.pem: cannot be read"),
        ("--eureka http://e/eureka --config-dir DIR --register-in gray-ns", "no registry with spaces"),
        ("--nacos nacos --cluster zone_a", "letters, digits and `-` in the name of a cluster"),
        ("--eureka a=eureka:8761 --config-dir DIR", "has no scheme"),
        ("--nacos nacos --nacos-ca nobody.pem", "--nacos-ca nobody.pem: cannot be read"),
    ];
    let directory = tempfile::tempdir().expect("a directory");
    let at = directory.path().join("dir").display().to_string();
    std::fs::create_dir(&at).expect("made");
    for (line, expect) in cases {
        let error = args(&line.replace("DIR", &at)).connect("test").expect_err(line).to_string();
        assert!(error.contains(expect), "{line}: `{error}` does not say `{expect}`");
    }
    let file = directory.path().join("file");
    std::fs::write(&file, "").expect("written");
    let line = format!("--registry-dir {} --config-dir {at}", file.display());
    let error = args(&line).connect("test").expect_err("a file is no directory").to_string();
    assert!(error.contains("--registry-dir") && error.contains("file"), "{error}");
}

#[tokio::test]
async fn directories_and_nacos_may_be_mixed_and_connecting_does_not_wait() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = directory.path().display();
    let both = args(&format!("--registry-dir {at} --config-dir {at}")).connect("test").expect("both");
    assert_eq!(*both.registry.health().borrow(), Health::Up);
    let mixed = args(&format!("--nacos 127.0.0.1:1 --config-dir {at}")).connect("test").expect("mixed");
    assert!(format!("{:?}", mixed.registry).contains("NacosRegistry"), "{mixed:?}");
    assert_eq!(*mixed.config.health().borrow(), Health::Up);
    assert!(matches!(*mixed.registry.health().borrow(), Health::Down(_)));
    let side_by_side = format!("--nacos 127.0.0.1:1 --registry-dir {at} --config-dir {at}");
    let side_by_side = args(&side_by_side).connect("test").expect("side by side");
    assert!(format!("{:?}", side_by_side.registry).contains("CombinedRegistry"), "{side_by_side:?}");
    let health = side_by_side.registry.health().borrow().clone();
    assert!(matches!(&health, Health::Down(reason) if reason.starts_with("--nacos: ")), "{health:?}");
    assert_eq!(*side_by_side.registry.watch("nobody").borrow(), Some(Arc::from([])), "the directory has answered");
    let moving =
        format!("--nacos 127.0.0.1:1 --eureka http://127.0.0.1:1/eureka --registry-dir {at} --config-dir {at}");
    let moving = args(&moving).connect("test").expect("moving").registry;
    let health = moving.health().borrow().clone();
    let told = |reason: &str| reason.starts_with("--nacos: ") && reason.contains("; --eureka: ");
    assert!(matches!(&health, Health::Down(reason) if told(reason)), "{health:?}");
    assert_eq!(*moving.watch("nobody").borrow(), None, "most of the fleet may be where nothing is known of");
    let eureka = args(&format!("--eureka http://127.0.0.1:1/eureka --config-dir {at}")).connect("test").expect("alone");
    assert!(format!("{:?}", eureka.registry).contains("EurekaRegistry"), "{eureka:?}");
}

#[tokio::test]
async fn a_program_of_a_lane_registers_apart_and_finds_everybody() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = directory.path().display();
    let connect = |more: &str| args(&format!("--registry-dir {at} --config-dir {at}{more}")).connect("test");
    let (apart, shared) = (connect(" --register-in gray-ns").expect("apart"), connect("").expect("shared"));
    let (gray, ordinary) = (gray_core::Instance::new("h", 1), gray_core::Instance::new("h", 2));
    apart.registry.register("user-app", &gray).await.expect("registered");
    shared.registry.register("user-app", &ordinary).await.expect("registered");
    let space = "gray-ns".parse().expect("a space");
    for registry in [&apart.registry, &shared.registry] {
        let expect = |expected: &gray_core::Instance| {
            let expected = expected.clone();
            move |state: &gray_registry::ServiceState| state.as_deref() == Some(&[expected.clone()][..])
        };
        let within = Duration::from_secs(10);
        let (mut own, mut lane) = (registry.watch("user-app"), registry.watch_space(&space, "user-app"));
        tokio::time::timeout(within, own.wait_for(expect(&ordinary))).await.expect("in time").expect("alive");
        tokio::time::timeout(within, lane.wait_for(expect(&gray))).await.expect("in time").expect("alive");
    }
    for nonsense in ["a/b", ".@", "a@b@c"] {
        let line = ["program", "--register-in", nonsense];
        assert!(Program::try_parse_from(line).is_err(), "{nonsense}");
    }
}

#[tokio::test]
async fn settings_alone_are_enough() {
    let directory = tempfile::tempdir().expect("a directory");
    let alone = args(&format!("--config-dir {}", directory.path().display())).connect("test").expect("enough");
    assert_eq!(*alone.registry.health().borrow(), Health::Up);
    assert_eq!(*alone.registry.watch("user-app").borrow(), Some(Arc::from([])));
    let error = alone.registry.register("test", &gray_core::Instance::new("h", 1)).await.expect_err("nowhere");
    assert!(matches!(error, gray_registry::RegistryError::NoRegistry), "{error}");
}

#[test]
fn secrets_are_not_shown() {
    let shown = format!("{:?}", args("--nacos n --nacos-username bob --nacos-password s3cret"));
    assert!(!shown.contains("s3cret") && !shown.contains("bob"), "{shown}");
    let shown = format!("{:?}", args("--eureka http://bob:s3cret@e:1/eureka,http://bob:s3cret@f/"));
    assert!(!shown.contains("s3cret") && !shown.contains("bob") && shown.contains("http://e:1/eureka"), "{shown}");
}

#[test]
fn every_flag_has_an_environment_variable_and_secrets_hide_theirs() {
    let command = Program::command();
    for arg in command.get_arguments().filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version")) {
        let variable = arg.get_env().expect("one for each").to_string_lossy();
        let name = arg.get_long().expect("long").to_uppercase().replace('-', "_");
        assert_eq!(variable, format!("GRAY_{name}"));
        assert!(arg.get_help().is_some(), "{name} is not explained");
        if name.contains("PASSWORD") || name.contains("USERNAME") || name == "EUREKA" {
            assert!(arg.is_hide_env_values_set(), "{name}");
        }
    }
}

#[test]
fn advertised_address() {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    assert_eq!(args("--registry-dir /d").detect_advertise_host(), loopback);
    assert_eq!(args("--registry-dir /d --nacos 127.0.0.1").detect_advertise_host(), loopback);
    assert_eq!(args("--eureka http://127.0.0.1:8761/eureka").detect_advertise_host(), loopback);
    assert_eq!(args("--nacos 127.0.0.1:8848").detect_advertise_host(), loopback);
    assert_eq!(args("--nacos no.such.host.invalid:8848").detect_advertise_host(), loopback);
}
