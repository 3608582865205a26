//! The file registry: a directory of instance files that every process watches.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use gray_core::instance::Instance;
use tokio::sync::watch;

use self::format::ServiceFile;
use super::{Health, MAX_NAMES, Registry, RegistryError, ServiceNames, ServiceState, Space, opened::Opened};
use crate::{
    directory::{self, Listing, Text, Wake},
    telemetry::{DIRECTORY, REGISTRY_FILES_REFUSED},
};

mod format;

/// A registry without a server: a directory of instance files, shared by all processes on a machine.
///
/// Every `*.yaml`, `*.yml` and `*.json` in it lists instances of one service; several files may list the same service,
/// and the same address in two of them counts once (the file whose name sorts last wins). Names that begin with a dot
/// are ignored. A hand-written static list:
///
/// ```yaml
/// service: user-app
/// instances:
///   - { host: 127.0.0.1, port: 7201, metadata: { version: V1 } }
///   - uri: http://127.0.0.1:7203   # the same in one key
///   - host: 127.0.0.1
///     port: 7202
///     weight: 2          # default 1; 0 takes it out of rotation
///     healthy: true      # default true
///     enabled: true      # default true
///     metadata: { version: V2 }
/// ```
///
/// [`register`](Registry::register) writes a file of its own (`user-app@127.0.0.1@7202.json`), atomically;
/// [`deregister`](Registry::deregister) removes it. A change is seen within milliseconds, at the latest after a second.
/// A file that cannot be read or parsed is reported once, with its line, and what it last said stays in force.
///
/// There is no heartbeat: a process that is killed leaves its file behind. Callers see refused connections then, and
/// go elsewhere; registering the address again, or deleting the file, clears it up.
///
/// Another [`Space`] is a directory below this one, named like the space (`lane-a`, `lane-a@blue`, `@blue`): to
/// register there is to open that directory.
#[derive(Debug)]
pub struct FileRegistry {
    directory: PathBuf,
    wake: Wake,
    state: Mutex<State>,
    health: watch::Sender<Health>,
    spaces: Opened<Space, FileRegistry>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Known>,
    services: HashMap<String, watch::Sender<ServiceState>>,
    names: watch::Sender<ServiceNames>,
}

/// One file.
#[derive(Debug)]
struct Known {
    /// The text, or the failure, that was dealt with.
    text: Text,
    /// What it said last that was good.
    says: Option<ServiceFile>,
    /// Whether that is older than the text.
    is_refused: bool,
}

impl FileRegistry {
    /// Opens a directory, creating it if need be, reads it, and follows it from then on.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Arc<Self>, io::Error> {
        let directory = directory.into();
        if !directory.exists() {
            // The first program makes it; with a typo in the path every program is first.
            tracing::warn!(directory = %directory.display(), "the registry directory does not exist yet: creating it");
        }
        fs::create_dir_all(&directory)?;
        let (wake, woken) = Wake::channel();
        let health = watch::Sender::new(Health::Up);
        let (state, spaces) = (Mutex::default(), Opened::new());
        let registry = Arc::new(Self { directory: directory.clone(), wake: wake.clone(), state, health, spaces });
        directory::follow(directory, &["json", "yaml", "yml"], (wake, woken), &registry, Self::update)?;
        Ok(registry)
    }

    /// Opens the directory of a space below a registry's own.
    pub fn open_space(directory: &Path, space: &Space) -> Result<Arc<Self>, io::Error> {
        // The names of a space are plain, but for `.` and `..`, and for hidden directories.
        let name = space.to_string();
        let name = name.strip_prefix('.').map_or_else(|| name.clone(), |rest| format!("%2E{rest}"));
        let directory = directory.join(name);
        fs::create_dir_all(&directory)?;
        Self::open(directory)
    }

    fn update(&self, listing: &Listing) {
        match listing {
            Ok(files) => {
                let refused = self.state.lock().unwrap_or_else(PoisonError::into_inner).update(files);
                let directory = self.directory.display().to_string();
                metrics::gauge!(REGISTRY_FILES_REFUSED, DIRECTORY => directory).set(refused as f64);
                if self.health.send_replace(Health::Up) != Health::Up {
                    tracing::info!(directory = %self.directory.display(), "registry directory can be read again");
                }
            }
            Err(reason) => {
                tracing::warn!("{reason}; keeping the instances known so far");
                self.health.send_replace(Health::Down(reason.clone()));
            }
        }
    }

    fn failure(&self, operation: &'static str, service: &str, file: &str, error: &io::Error) -> RegistryError {
        let reason = format!("{}: {error}", self.directory.join(file).display());
        RegistryError::Failed { operation, service: service.to_owned(), reason }
    }
}

impl State {
    /// Takes in what is good, and says how many files are not.
    fn update(&mut self, files: &BTreeMap<String, Text>) -> usize {
        let mut before = std::mem::take(&mut self.files);
        let mut refused = 0;
        for (name, text) in files {
            let read = match before.remove(name) {
                Some(known) if known.text == *text => known,
                known => match text.clone().and_then(|text| format::parse(name, &text)) {
                    Ok(file) => Known { text: text.clone(), says: Some(file), is_refused: false },
                    Err(reason) => {
                        tracing::error!(file = %name, "instance file refused, its last good content stays: {reason}");
                        Known { text: text.clone(), says: known.and_then(|known| known.says), is_refused: true }
                    }
                },
            };
            refused += usize::from(read.is_refused);
            self.files.insert(name.clone(), read);
        }
        let names =
            self.files.values().filter_map(|known| known.says.as_ref()).filter(|file| !file.instances.is_empty());
        let names: BTreeSet<Box<str>> = names.map(|file| file.service.as_str().into()).collect();
        self.names.send_if_modified(|known| {
            let changed = known.as_deref() != Some(&names);
            *known = Some(names.into_iter().take(MAX_NAMES).collect::<BTreeSet<_>>().into());
            changed
        });
        for (service, sender) in &self.services {
            let list = self.list(service);
            sender.send_if_modified(|state| {
                let changed = state.as_deref() != Some(&list);
                if changed {
                    *state = Some(list.into());
                }
                changed
            });
        }
        refused
    }

    fn list(&self, service: &str) -> Vec<Instance> {
        let (mut list, mut places): (Vec<Instance>, HashMap<(&str, u16), usize>) = Default::default();
        let files = self.files.values().filter_map(|known| known.says.as_ref()).filter(|file| file.service == service);
        for instance in files.flat_map(|file| &file.instances) {
            let place = *places.entry((&instance.host, instance.port)).or_insert(list.len());
            match list.get_mut(place) {
                Some(twin) => *twin = instance.clone(),
                None => list.push(instance.clone()),
            }
        }
        list
    }
}

#[async_trait]
impl Registry for FileRegistry {
    async fn register(&self, service: &str, instance: &Instance) -> Result<(), RegistryError> {
        let name = format::file_name(service, instance);
        let text = format::render(service, instance).map_err(|reason| RegistryError::Failed {
            operation: "registration",
            service: service.to_owned(),
            reason,
        })?;
        directory::write_atomically(&self.directory, &name, &text)
            .map_err(|error| self.failure("registration", service, &name, &error))
    }

    async fn deregister(&self, service: &str, instance: &Instance) -> Result<(), RegistryError> {
        let name = format::file_name(service, instance);
        match fs::remove_file(self.directory.join(&name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.failure("deregistration", service, &name, &error))
            }
            _ => Ok(()),
        }
    }

    fn watch(&self, service: &str) -> watch::Receiver<ServiceState> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = state.services.get(service) {
            return sender.subscribe();
        }
        let sender = watch::Sender::new(Some(state.list(service).into()));
        let receiver = sender.subscribe();
        state.services.insert(service.to_owned(), sender);
        receiver
    }

    fn watch_space(&self, space: &Space, service: &str) -> watch::Receiver<ServiceState> {
        let open = || {
            Self::open_space(&self.directory, space)
                .map_err(|error| format!("below {}: {error}", self.directory.display()))
        };
        match self.spaces.get(space.clone(), space, open) {
            Some(registry) => registry.watch(service),
            None => self.spaces.silent(),
        }
    }

    fn services(&self) -> watch::Receiver<ServiceNames> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).names.subscribe()
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    fn refresh(&self) {
        self.wake.look();
        self.spaces.opened().iter().for_each(|space| space.refresh());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    async fn ports_become(state: &mut watch::Receiver<ServiceState>, expect: &[u16]) {
        let wanted = |state: &ServiceState| {
            let list = state.as_deref().unwrap_or_default();
            list.iter().map(|instance| instance.port).eq(expect.iter().copied())
        };
        let outcome = timeout(Duration::from_secs(5), state.wait_for(wanted)).await.map(|found| found.is_ok());
        assert_eq!(outcome, Ok(true), "expected {expect:?}, found {:?}", state.borrow());
    }

    fn write(directory: &Path, name: &str, text: &str) {
        directory::write_atomically(directory, name, text).expect("written");
    }

    #[tokio::test]
    async fn a_hand_written_list_is_followed_and_a_bad_one_changes_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = directory.path();
        write(at, "users.yaml", "service: user-app\ninstances:\n  - {host: 10.0.0.1, port: 1}\n");
        let registry = FileRegistry::open(at).expect("opened");
        let mut users = registry.watch("user-app");
        ports_become(&mut users, &[1]).await;

        write(at, "more.yml", "service: user-app\ninstances: [{host: 10.0.0.1, port: 2}]");
        ports_become(&mut users, &[2, 1]).await;

        write(at, "users.yaml", "service: user-app\ninstances:\n  - {host: 10.0.0.1, prot: 3}\n");
        write(at, "more.yml", "service: user-app\ninstances: [{host: 10.0.0.1, port: 4}]");
        ports_become(&mut users, &[4, 1]).await;

        write(at, "users.yaml", "service: user-app\ninstances: [{host: 10.0.0.1, port: 5}]");
        ports_become(&mut users, &[4, 5]).await;

        fs::remove_file(at.join("more.yml")).expect("removed");
        ports_become(&mut users, &[5]).await;
    }

    #[tokio::test]
    async fn two_processes_see_each_other() {
        let directory = tempfile::tempdir().expect("a directory");
        let one = FileRegistry::open(directory.path()).expect("opened");
        let two = FileRegistry::open(directory.path()).expect("opened");
        let mut users = two.watch("user-app");
        let instance = Instance::new("127.0.0.1", 7202).with_version("V2");
        one.register("user-app", &instance).await.expect("registered");
        ports_become(&mut users, &[7202]).await;
        one.deregister("user-app", &instance).await.expect("deregistered");
        ports_become(&mut users, &[]).await;
        assert_eq!(fs::read_dir(directory.path()).expect("listed").count(), 0, "nothing stays behind");
    }

    #[tokio::test]
    async fn a_space_is_a_directory_below_and_nowhere_else() {
        let parent = tempfile::tempdir().expect("a directory");
        let at = parent.path().join("instances");
        let registry = FileRegistry::open(&at).expect("opened");
        write(&at.join("lane-a@blue"), "u.yaml", "service: user-app\ninstances: [{uri: 'http://10.0.0.1:7'}]");
        let mut lane = registry.watch_space(&"lane-a@blue".parse().expect("a space"), "user-app");
        ports_become(&mut lane, &[7]).await;
        ports_become(&mut registry.watch("user-app"), &[]).await;
        for (text, name) in [("..", "%2E."), (".", "%2E"), (".lane", "%2Elane"), ("@..", "@..")] {
            drop(registry.watch_space(&text.parse().expect("a space"), "user-app"));
            assert!(at.join(name).is_dir(), "{text}");
        }
        assert_eq!(fs::read_dir(parent.path()).expect("listed").count(), 1, "nothing beside it");
    }

    #[tokio::test]
    async fn a_directory_that_vanishes_shows_in_health_and_may_come_back() {
        let parent = tempfile::tempdir().expect("a directory");
        let at = parent.path().join("instances");
        let registry = FileRegistry::open(&at).expect("opened");
        let instance = Instance::new("127.0.0.1", 1);
        registry.register("user-app", &instance).await.expect("registered");
        let (mut users, mut health) = (registry.watch("user-app"), registry.health());
        ports_become(&mut users, &[1]).await;
        fs::remove_dir_all(&at).expect("removed");
        let limit = Duration::from_secs(5);
        timeout(limit, health.wait_for(|health| *health != Health::Up)).await.expect("told").expect("alive");
        registry.register("user-app", &instance).await.expect("registered again");
        timeout(limit, health.wait_for(|health| *health == Health::Up)).await.expect("told").expect("alive");
        ports_become(&mut users, &[1]).await;
    }
}
