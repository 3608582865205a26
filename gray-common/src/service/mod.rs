//! The life of a service that takes part in the chain, from `bind` to `exit`.
//!
//! Start: bind (a taken port is found out first) → follow settings and called services → serve → once settings and
//! called services are known, register → `/readyz` says 200. The registry may be away for any of this: the service
//! keeps trying, says so once, and recovers by itself.
//!
//! Stop (SIGTERM, SIGINT, SIGQUIT): `/readyz` says 503 → deregister while still accepting → wait until callers have heard of it
//! → stop accepting → finish what is in flight → exit ([`leave`]; [`Phase`] has the chart).
//!
//! SIGHUP has files read again; no other signal ends a program ([`StopSignals`]).
//!
//! `/livez`, `/readyz` and `/metrics` stand in front of the service's own routes. What is counted goes to one Prometheus
//! recorder for the whole process, installed with the first service; a program that has installed another recorder
//! before keeps it, and serves its metrics itself.
//!
//! [`run`] does all of it; [`GrayService`] is for programs that want to hold the pieces themselves.

mod args;
mod check;
mod error;
mod exit;
mod health;
mod healthcheck;
mod jobs;
mod leave;
mod messages;
mod metrics;
mod phase;
mod readiness;
mod registration;
mod run;
mod serve;
mod signals;
mod trust;
mod version_flag;

pub use args::{Advertise, GrayTag, MetadataEntry, SHORTEST_TIMEOUT, ServiceArgs, ServiceCli, ServiceCommand};
pub use check::{CheckError, Gathered, check_config, gather};
pub use error::ServiceError;
pub use exit::{UsageError, WRONG_USAGE, exit_code};
pub use healthcheck::healthcheck;
pub use leave::{StopLimits, Stoppable, leave};
pub use phase::Phase;
pub use readiness::{Needs, Readiness, Report};
pub use registration::{Registration, RegistrationState};
pub use run::{BoxError, run};
pub use signals::StopSignals;

use std::sync::Arc;

use gray_core::{
    instance::Instance,
    tag::{SOURCE, SOURCE_KEY, TAG_KEY},
};
use gray_document::Documents;
use gray_live::LiveSettings;
use gray_settings::{Caller, GraySettings};
use gray_tls::Trust;
use tokio::net::TcpListener;

use crate::{
    client::{ClientError, GrayClient, GrayClientBuilder, ServiceView},
    control::ControlPlane,
    descriptors,
    documents::ProgramDocuments,
};

/// The document that gateway and services share.
pub const SHARED_DOCUMENT: &str = "common-config.yaml";

/// A service that is bound and follows its settings, but does not answer yet.
#[derive(Debug)]
pub struct GrayService {
    name: Arc<str>,
    args: ServiceArgs,
    listener: TcpListener,
    instance: Instance,
    control: ControlPlane,
    settings: LiveSettings<GraySettings>,
    views: Vec<ServiceView>,
    /// Whose certificates are believed when an instance is called over TLS.
    trust: Arc<Trust>,
    signals: StopSignals,
}

impl GrayService {
    /// Binds the port and starts to follow the settings: `common-config.yaml`, the service's own documents, and what those and
    /// flags name.
    pub async fn start(name: &str, default_port: u16, args: &ServiceArgs) -> Result<Self, ServiceError> {
        // The port first: the mistake that is made most often is reported before anything else happens.
        let listener = bind(args, default_port).await?;
        // From here on things may be counted.
        metrics::recorder();
        let control = args.control.connect(name)?;
        Self::assemble(name, args, listener, control)
    }

    /// Like [`start`](Self::start), on a control plane that is already there.
    pub async fn start_on(
        control: ControlPlane,
        name: &str,
        default_port: u16,
        args: &ServiceArgs,
    ) -> Result<Self, ServiceError> {
        Self::assemble(name, args, bind(args, default_port).await?, control)
    }

    fn assemble(
        name: &str,
        args: &ServiceArgs,
        listener: TcpListener,
        control: ControlPlane,
    ) -> Result<Self, ServiceError> {
        let port = listener.local_addr().map_err(|source| ServiceError::Serve { source })?.port();
        descriptors::raise();
        metrics::recorder();
        let trust = Arc::new(Trust::new("--upstream-ca", args.upstream_ca.as_deref())?);
        trust::follow(&trust);
        let signals = StopSignals::listen().map_err(|source| ServiceError::Signals { source })?;
        let instance = args.instance(port);
        tracing::info!(
            service = name,
            listening = %format_args!("{}:{port}", args.bind),
            advertised = instance.authority(),
            service.version = args.service_version,
            "bound"
        );
        let prefix = args.control.prefix.clone();
        let plan = args.control.plan(&documents_of(name))?;
        let (source, followed) =
            (plan.source(Arc::clone(&control.config)), plan.followed(GraySettings::lasting(&prefix)));
        let read = move |documents: &_| read_settings(documents, &prefix);
        let settings = LiveSettings::follow_documents(source, followed, read);
        Ok(Self {
            name: name.into(),
            args: args.clone(),
            listener,
            instance,
            control,
            settings,
            views: Vec::new(),
            trust,
            signals,
        })
    }

    /// Name under which it registers.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port it listens on; the real one, also when 0 was asked for.
    pub fn port(&self) -> u16 {
        // The listener was asked once already; the instance has the same port unless another is advertised.
        self.listener.local_addr().map_or(self.instance.port, |address| address.port())
    }

    /// The version it announces.
    pub fn version(&self) -> &str {
        &self.args.service_version
    }

    /// What it registers.
    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// The settings it follows.
    pub fn settings(&self) -> &LiveSettings<GraySettings> {
        &self.settings
    }

    /// A client of another service, with the default limits.
    pub fn client(&mut self, service: &str) -> Result<GrayClient, ClientError> {
        self.client_builder(service).build()
    }

    /// A client of another service, with limits of your own.
    pub fn client_builder(&mut self, service: &str) -> GrayClientBuilder {
        let view = self.views.iter().find(|view| view.service() == service).cloned().unwrap_or_else(|| {
            let view = self.follow(service);
            self.views.push(view.clone());
            view
        });
        let builder = GrayClient::builder(view).trust(Arc::clone(&self.trust));
        builder.caller(self.name()).own_version(self.args.service_version.as_str())
    }

    fn follow(&self, service: &str) -> ServiceView {
        let caller = Caller {
            service: self.name.to_string(),
            version: Some(self.args.service_version.clone()),
            cluster: self.args.control.cluster.clone(),
        };
        ServiceView::follow(Arc::clone(&self.control.registry), caller, service, self.settings.subscribe())
    }
}

/// What a service of this name reads.
fn documents_of(name: &str) -> ProgramDocuments<'_> {
    ProgramDocuments { name, first: &[SHARED_DOCUMENT], last: &[], lists: &[] }
}

/// The gray settings, with a warning for every key that is not read.
fn read_settings(documents: &Documents, prefix: &str) -> GraySettings {
    let root = documents.root();
    let settings = GraySettings::read(&root, prefix);
    GraySettings::warn_unread(&root);
    settings
}

async fn bind(args: &ServiceArgs, default_port: u16) -> Result<TcpListener, ServiceError> {
    let address = (args.bind, args.port.unwrap_or(default_port)).into();
    TcpListener::bind(address).await.map_err(|source| ServiceError::bind(address, source))
}

impl ServiceArgs {
    /// What to register for a process that listens on `port`.
    pub fn instance(&self, port: u16) -> Instance {
        let (host, advertised_port) = match &self.advertise {
            Some(advertise) => (advertise.host.clone(), advertise.port.unwrap_or(port)),
            // A service bound to one address can only be reached there.
            None if !self.bind.is_unspecified() => (self.bind.to_string(), port),
            None => (self.control.detect_advertise_host().to_string(), port),
        };
        let mut instance = Instance { weight: self.weight, ..Instance::new(host, advertised_port) };
        instance.metadata.extend(self.metadata.iter().map(|entry| (entry.key.clone(), entry.value.clone())));
        instance.metadata.extend(self.gray_tag.0.iter().map(|tag| (TAG_KEY.to_owned(), tag.clone())));
        instance.with_version(self.service_version.as_str()).with_metadata(SOURCE_KEY, SOURCE)
    }
}

#[cfg(test)]
mod tests;
