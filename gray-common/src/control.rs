//! Flags that say where the control plane is, and the connection to it.
//!
//! Every program takes the same flags: flatten [`ControlArgs`] into its own and call [`ControlArgs::connect`].

use gray_core::Space;
use gray_document::encrypted;
use gray_eureka::{EurekaOptions, EurekaRegistry, EurekaTls, without_passwords};
use gray_nacos::{NacosConfigSource, NacosOptions, NacosRegistry, NacosTls, context_path};
use gray_registry::{
    CombinedRegistry, ConfigSource, FileConfigSource, FileRegistry, NoRegistry, Registry,
    disk::{DiskStore, KeptConfigSource, KeptRegistry},
};
use gray_tls::TlsError;
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use crate::{
    documents::{DocumentArgs, DocumentPlan, ProgramDocuments},
    flag::{duration, whole},
};

/// Where instances and settings live: Nacos, Eureka (instances alone), directories, or several of them.
///
/// Instances are found in all that are given, side by side. A program registers in Nacos and in Eureka, in both when both are given,
/// and in `--registry-dir` only without them. With none of the three it registers nowhere, and knows the static instances in its
/// settings. For settings a directory wins over Nacos, so that `--nacos` with `--config-dir` takes instances from Nacos and settings
/// from files.
#[derive(clap::Args, Clone)]
#[command(next_help_heading = "Control plane")]
#[non_exhaustive]
pub struct ControlArgs {
    /// Nacos server, host:port of its HTTP port; gRPC is expected on that port + 1000. Several: a:8848,b:8848
    #[arg(long, env = "GRAY_NACOS", value_name = "HOST:PORT")]
    pub nacos: Option<String>,

    /// gRPC port of Nacos, when it is not the HTTP port + 1000 (a mapped port, say)
    #[arg(long, env = "GRAY_NACOS_GRPC_PORT", value_name = "PORT", value_parser = whole::<u16>(1..=65_535))]
    pub nacos_grpc_port: Option<u16>,

    /// Path below which the HTTP API of Nacos is (nacos.server.contextPath); empty or / for none
    #[arg(long, env = "GRAY_NACOS_CONTEXT", value_name = "PATH", default_value = gray_nacos::DEFAULT_CONTEXT,
          value_parser = context_path)]
    pub nacos_context: String,

    /// Speak TLS to Nacos, at both ports. Its certificate must be for the host in --nacos
    #[arg(long, env = "GRAY_NACOS_TLS")]
    pub nacos_tls: bool,

    /// PEM file with the CAs of Nacos' certificate, believed besides Mozilla's roots; switches --nacos-tls on
    #[arg(long, env = "GRAY_NACOS_CA", value_name = "FILE")]
    pub nacos_ca: Option<PathBuf>,

    /// Nacos namespace ID (not its display name; `public` or empty is the built-in one)
    #[arg(long, env = "GRAY_NAMESPACE", value_name = "ID", default_value = "spring-cloud-gray-example")]
    pub namespace: String,

    /// Nacos group of services and of configuration documents
    #[arg(long, env = "GRAY_GROUP", value_name = "NAME", default_value = "DEFAULT_GROUP")]
    pub group: String,

    /// Cluster of Nacos (`clusterName`), or zone of Eureka, that this program is in: instances of services in the same one are asked
    /// first. Without it all are asked alike
    #[arg(long, env = "GRAY_CLUSTER", value_name = "NAME", value_parser = cluster)]
    pub cluster: Option<String>,

    /// Nacos user, when the server has authentication switched on
    #[arg(long, env = "GRAY_NACOS_USERNAME", value_name = "USER", hide_env_values = true)]
    pub nacos_username: Option<String>,

    /// Password of that user; better given as environment variable, where `ps` does not show it
    #[arg(long, env = "GRAY_NACOS_PASSWORD", value_name = "SECRET", hide_env_values = true)]
    pub nacos_password: Option<String>,

    /// Eureka server, the URL of its REST interface: http://eureka:8761/eureka/. Several, the preferred one first: URL,URL; with their
    /// zones, those in that of --cluster first: ZONE=URL,ZONE=URL. With a user: http://USER:PASSWORD@HOST/eureka/, better given as environment variable, where `ps` does not show it. For instances alone:
    /// settings come from --config-dir or --nacos
    #[arg(long, env = "GRAY_EUREKA", value_name = "URL", hide_env_values = true)]
    pub eureka: Option<String>,

    /// PEM file with the CAs of Eureka's certificate, believed besides Mozilla's roots
    #[arg(long, env = "GRAY_EUREKA_CA", value_name = "FILE")]
    pub eureka_ca: Option<PathBuf>,

    /// How often Eureka is asked for changes; it answers from a cache of its own, by default 30 s old
    #[arg(long, env = "GRAY_EUREKA_FETCH", value_name = "TIME", default_value = "5s",
          value_parser = duration(Duration::from_millis(500)))]
    pub eureka_fetch: Duration,

    /// How long the last instances of a version stay listed after they went missing in Nacos or Eureka all at once; 0 = they are
    /// dropped, and requests fail or fall back at once
    #[arg(long, env = "GRAY_REGISTRY_HOLD", value_name = "TIME", default_value = "10s",
          value_parser = duration(Duration::ZERO))]
    pub registry_hold: Duration,

    /// How long all instances that are missing stay listed after Nacos or Eureka was away, or has lost more than half of a service: until
    /// all have registered again; 0 = no longer than --registry-hold
    #[arg(long, env = "GRAY_REGISTRY_RECOVERY", value_name = "TIME", default_value = "3m",
          value_parser = duration(Duration::ZERO))]
    pub registry_recovery: Duration,

    /// Directory in which instances and settings from Nacos, and instances from Eureka, are kept as they were last known, for a start
    /// while those are away
    #[arg(long, env = "GRAY_SNAPSHOT_DIR", value_name = "DIR")]
    pub snapshot_dir: Option<PathBuf>,

    /// Registry without a server: a directory of instance files, shared by all processes. With --nacos or --eureka as well, all are
    /// searched, and this program registers there, not in the directory
    #[arg(long, env = "GRAY_REGISTRY_DIR", value_name = "DIR")]
    pub registry_dir: Option<PathBuf>,

    /// Register in another namespace or group (NAMESPACE, NAMESPACE@GROUP or @GROUP), where only lanes that name it look;
    /// everything else stays: others are found where --namespace and --group say, and so are the settings
    #[arg(long, env = "GRAY_REGISTER_IN", value_name = "SPACE")]
    pub register_in: Option<Space>,

    /// Settings without a server: a directory, which must be there, with common-config.yaml, gateway-app.yaml and so on; wins
    /// over Nacos
    #[arg(long, env = "GRAY_CONFIG_DIR", value_name = "DIR")]
    pub config_dir: Option<PathBuf>,

    /// Key under which the gray settings stand in the documents
    #[arg(long, env = "GRAY_PREFIX", value_name = "KEY", default_value = "kerwin.tool.gray")]
    pub prefix: String,

    /// Which documents are read.
    #[command(flatten)]
    pub documents: DocumentArgs,
}

impl fmt::Debug for ControlArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = |value: &Option<String>| value.as_ref().map(|_| "(hidden)");
        f.debug_struct("ControlArgs")
            .field("nacos", &self.nacos)
            .field("nacos_grpc_port", &self.nacos_grpc_port)
            .field("nacos_context", &self.nacos_context)
            .field("nacos_tls", &self.nacos_tls)
            .field("nacos_ca", &self.nacos_ca)
            .field("namespace", &self.namespace)
            .field("group", &self.group)
            .field("cluster", &self.cluster)
            .field("nacos_username", &secret(&self.nacos_username))
            .field("nacos_password", &secret(&self.nacos_password))
            .field("eureka", &self.eureka.as_deref().map(without_passwords))
            .field("eureka_ca", &self.eureka_ca)
            .field("eureka_fetch", &self.eureka_fetch)
            .field("registry_hold", &self.registry_hold)
            .field("registry_recovery", &self.registry_recovery)
            .field("snapshot_dir", &self.snapshot_dir)
            .field("registry_dir", &self.registry_dir)
            .field("register_in", &self.register_in)
            .field("config_dir", &self.config_dir)
            .field("prefix", &self.prefix)
            .field("documents", &self.documents)
            .finish()
    }
}

/// The two halves of the control plane, connecting or connected.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ControlPlane {
    /// Where instances are found and announced.
    pub registry: Arc<dyn Registry>,
    /// Where settings come from.
    pub config: Arc<dyn ConfigSource>,
    /// Where both are kept for a start without Nacos, if they are.
    pub disk: Option<Arc<DiskStore>>,
}

/// The control plane cannot be set up as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Neither Nacos nor a directory with settings was given.
    #[error(
        "nowhere to read settings from: pass --nacos HOST:PORT (GRAY_NACOS), or --config-dir DIR (GRAY_CONFIG_DIR) to do \
         without a server; Eureka has none"
    )]
    Nowhere,
    /// A certificate file cannot be used.
    #[error(transparent)]
    Certificates(#[from] TlsError),
    /// A value cannot be used.
    #[error("{flag} {value}: {reason}")]
    Invalid {
        /// The flag.
        flag: &'static str,
        /// What was given.
        value: String,
        /// Why not, and what would do.
        reason: String,
    },
}

impl ControlArgs {
    /// Starts to connect and returns at once. Must be called within a tokio runtime.
    ///
    /// A server that cannot be reached is no error here: it is retried for ever, and shows in `health()`.
    pub fn connect(&self, program: &str) -> Result<ControlPlane, ControlError> {
        let (nacos, eureka) = (self.nacos_options(program)?, self.eureka_options()?);
        // Only what comes over a network needs to be kept.
        let is_remote = nacos.is_some() || eureka.is_some();
        let disk =
            self.snapshot_dir.as_ref().filter(|_| is_remote).map(|directory| DiskStore::open(directory, program));
        // The settings first: a program can do without a registry, but not without them.
        let config = self.source(nacos.clone())?;
        let config = match (&disk, &nacos) {
            (Some(store), Some(nacos)) if self.config_dir.is_none() => {
                KeptConfigSource::new(config, Arc::clone(store), &place(nacos)) as Arc<dyn ConfigSource>
            }
            _ => config,
        };
        let home = self.home(nacos.as_ref())?;
        let files = match &self.registry_dir {
            Some(directory) => Some(
                FileRegistry::open(directory)
                    .map_err(|error| invalid_directory("--registry-dir", directory, &error))?,
            ),
            None => None,
        };
        let kept = |registry: Arc<dyn Registry>, place: &str| match &disk {
            Some(store) => KeptRegistry::new(registry, Arc::clone(store), place) as Arc<dyn Registry>,
            None => registry,
        };
        let nacos = nacos.map(|options| {
            let place = place(&options);
            ("--nacos", kept(NacosRegistry::connect(options), &place))
        });
        let eureka = eureka.map(|options| {
            let place = format!("eureka {}", options.place());
            ("--eureka", kept(EurekaRegistry::connect(options), &place))
        });
        let files = files.map(|files| ("--registry-dir".to_owned(), files as Arc<dyn Registry>));
        let registry: Arc<dyn Registry> = match (nacos, eureka, files) {
            (Some((nacos_name, nacos)), Some((eureka_name, eureka)), files) => {
                CombinedRegistry::spread([(nacos_name.to_owned(), nacos), (eureka_name.to_owned(), eureka)], files)
            }
            (Some(server), None, Some(files)) | (None, Some(server), Some(files)) => {
                CombinedRegistry::new(server, [files])
            }
            (Some((_, server)), None, None) | (None, Some((_, server)), None) => server,
            (None, None, Some((_, files))) => files,
            (None, None, None) => {
                tracing::warn!(
                    "no registry is given (--nacos, --eureka, --registry-dir): this program registers nowhere, and knows \
                     only the static instances in its settings"
                );
                NoRegistry::new()
            }
        };
        let registry = match home {
            Some(home) => CombinedRegistry::apart(("--register-in", home), ("the registry", registry)),
            None => registry,
        };
        Ok(ControlPlane { registry, config, disk })
    }

    /// Where this program registers, when that is not where it looks for others.
    fn home(&self, nacos: Option<&NacosOptions>) -> Result<Option<Arc<dyn Registry>>, ControlError> {
        let Some(space) = &self.register_in else { return Ok(None) };
        Ok(Some(match (nacos, &self.registry_dir) {
            (Some(nacos), _) => NacosRegistry::connect(nacos.clone().in_space(space)),
            (None, Some(directory)) => FileRegistry::open_space(directory, space)
                .map_err(|error| invalid_directory("--registry-dir", directory, &error))?,
            (None, None) => {
                let reason = "there is no registry with spaces: give --nacos or --registry-dir as well".to_owned();
                return Err(ControlError::Invalid { flag: "--register-in", value: space.to_string(), reason });
            }
        }))
    }

    /// Which documents a program reads, by these flags.
    ///
    /// # Errors
    /// As [`DocumentArgs::plan`] has them.
    pub fn plan(&self, program: &ProgramDocuments<'_>) -> Result<DocumentPlan, ControlError> {
        self.documents.plan(program, &self.group)
    }

    /// The settings' half alone, for programs that only read documents. As [`connect`](Self::connect) otherwise.
    pub fn connect_config(&self, program: &str) -> Result<Arc<dyn ConfigSource>, ControlError> {
        self.source(self.nacos_options(program)?)
    }

    fn source(&self, nacos: Option<NacosOptions>) -> Result<Arc<dyn ConfigSource>, ControlError> {
        Ok(match (&self.config_dir, nacos) {
            (Some(directory), _) => FileConfigSource::open(directory).map_err(|error| ControlError::Invalid {
                flag: "--config-dir",
                value: directory.display().to_string(),
                reason: format!("{error}; expected a directory with common-config.yaml, which is never made"),
            })?,
            (None, Some(options)) => NacosConfigSource::connect(options),
            (None, None) => return Err(ControlError::Nowhere),
        })
    }

    /// The address by which others most likely reach this machine: the source address towards Nacos or Eureka, loopback without
    /// either (then everything runs on this machine). No packet is sent.
    pub fn detect_advertise_host(&self) -> IpAddr {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let servers = self.nacos.as_ref().and_then(|servers| NacosOptions::new(servers).servers().ok());
        let eureka = self.eureka_options().ok().flatten();
        let servers = servers.iter().flatten().map(|(host, port)| (host.as_str(), *port));
        let mut servers = servers.chain(eureka.iter().flat_map(EurekaOptions::addresses));
        servers.find_map(|(host, port)| source_towards(host, port)).unwrap_or(loopback)
    }

    /// What the flags say of Eureka, checked; `None` when it is not to be used at all.
    fn eureka_options(&self) -> Result<Option<EurekaOptions>, ControlError> {
        let Some(urls) = self.eureka.as_deref().filter(|urls| !urls.trim().is_empty()) else { return Ok(None) };
        let tls = EurekaTls::new(self.eureka_ca.as_deref())?;
        let invalid = |reason| ControlError::Invalid { flag: "--eureka", value: without_passwords(urls), reason };
        let mut options = EurekaOptions::new(urls, tls).map_err(invalid)?.in_zone(self.cluster.clone());
        options.fetch_interval = self.eureka_fetch;
        (options.hold, options.recovery) = (self.registry_hold, self.registry_recovery);
        Ok(Some(options))
    }

    /// What the flags say of Nacos, checked; `None` when it is not to be used at all.
    fn nacos_options(&self, program: &str) -> Result<Option<NacosOptions>, ControlError> {
        let Some(server) = self.nacos.as_deref().filter(|server| !server.trim().is_empty()) else { return Ok(None) };
        let invalid = |flag, value: &str, reason: String| ControlError::Invalid { flag, value: value.into(), reason };
        let tls = self.nacos_tls || self.nacos_ca.is_some();
        let mut options = NacosOptions::new(server.trim());
        options.grpc_port = self.nacos_grpc_port;
        options.context.clone_from(&self.nacos_context);
        options.tls = tls.then(|| NacosTls::new(self.nacos_ca.as_deref())).transpose()?;
        options.namespace = self.namespace.trim().to_owned();
        options.group = self.group.trim().to_owned();
        if let Some(cluster) = &self.cluster {
            if cluster.contains(['.', '_']) {
                let reason = "Nacos takes letters, digits and `-` in the name of a cluster".into();
                return Err(invalid("--cluster", cluster, reason));
            }
            options.cluster.clone_from(cluster);
        }
        options.username = self.nacos_username.clone();
        options.password = self.nacos_password.clone();
        options.program = program.to_owned();
        options.hold = self.registry_hold;
        options.recovery = self.registry_recovery;
        options.servers().map_err(|reason| invalid("--nacos", server, reason))?;
        if options.group.is_empty() {
            return Err(invalid("--group", &self.group, "no group is given; the usual one is DEFAULT_GROUP".into()));
        }
        if let Some(kind) = options.password.as_deref().and_then(encrypted) {
            return Err(invalid("--nacos-password", "(hidden)", format!("{kind}; give the plain password")));
        }
        if options.username.is_some() != options.password.is_some() {
            let reason = "a user needs a password and the other way round (GRAY_NACOS_PASSWORD)".into();
            return Err(invalid("--nacos-username", "(hidden)", reason));
        }
        Ok(Some(options))
    }
}

/// The name of a cluster or of a zone.
fn cluster(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text.len() > 64 || !text.chars().all(fits) {
        return Err("expected 1 to 64 letters, digits and `-`, in a zone of Eureka `.` and `_` as well".into());
    }
    Ok(text.to_owned())
}

/// What tells one source from another, so that nothing kept of one is used for the other.
fn place(nacos: &NacosOptions) -> String {
    format!("{} {:?} {}", nacos.server, nacos.namespace_id(), nacos.group)
}

fn invalid_directory(flag: &'static str, directory: &std::path::Path, error: &std::io::Error) -> ControlError {
    ControlError::Invalid { flag, value: directory.display().to_string(), reason: error.to_string() }
}

/// The address from which this machine talks to that one; connecting a UDP socket only looks up the route.
fn source_towards(host: &str, port: u16) -> Option<IpAddr> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let target = (bare, port).to_socket_addrs().ok()?.next()?;
    let any: SocketAddr = match target {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(target).ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_unspecified())
}

#[cfg(test)]
mod tests;
