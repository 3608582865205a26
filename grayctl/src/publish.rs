//! `grayctl publish`: puts the configuration documents into Nacos.

use std::{path::PathBuf, time::Duration};

use anyhow::Result;
use clap::Args;
use gray_common::registry::{NacosOptions, NacosTls};

use crate::{
    find::{DOCUMENTS, Document, documents},
    nacos::{Nacos, Place},
    print::say,
};

/// Put the configuration documents into Nacos and check that they arrived.
///
/// Waits until Nacos is ready, creates the namespace if it is missing, and publishes every *.yaml of a directory
/// (the file's name is the data id). A document that is already there and reads differently is left alone, because
/// somebody may have edited it live; --overwrite replaces it.
#[derive(Debug, Args)]
pub(crate) struct PublishArgs {
    /// Nacos' address, as host:port of its HTTP API.
    #[arg(long, env = "GRAY_NACOS", value_name = "HOST:PORT", default_value = "127.0.0.1:8848")]
    nacos: String,
    /// Speak TLS to Nacos.
    #[arg(long, env = "GRAY_NACOS_TLS")]
    nacos_tls: bool,
    /// PEM file with the CAs of Nacos' certificate, besides Mozilla's roots; switches --nacos-tls on.
    #[arg(long, env = "GRAY_NACOS_CA", value_name = "FILE")]
    nacos_ca: Option<PathBuf>,
    /// Namespace id; created if missing. "public" is Nacos' own.
    #[arg(long, env = "GRAY_NAMESPACE", default_value = "spring-cloud-gray-example")]
    namespace: String,
    /// Group of the documents.
    #[arg(long, env = "GRAY_GROUP", default_value = "DEFAULT_GROUP")]
    group: String,
    /// Directory with the YAML documents.
    #[arg(long, value_name = "DIR", default_value = DOCUMENTS)]
    dir: PathBuf,
    /// Replace documents that are there and differ.
    #[arg(long)]
    overwrite: bool,
    /// How long to wait for Nacos, in seconds.
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    wait: u64,
    /// User, where Nacos wants a login.
    #[arg(long, env = "GRAY_NACOS_USERNAME", requires = "password")]
    username: Option<String>,
    /// The user's password; better given in the environment than on the command line.
    #[arg(long, env = "GRAY_NACOS_PASSWORD", hide_env_values = true, value_name = "PASSWORD", requires = "username")]
    password: Option<String>,
}

/// Runs the command.
pub(crate) async fn run(args: &PublishArgs) -> Result<()> {
    let documents = documents(&args.dir)?;
    let tls = args.nacos_tls || args.nacos_ca.is_some();
    let tls = tls.then(|| NacosTls::new(args.nacos_ca.as_deref())).transpose()?;
    let mut nacos = Nacos::new(NacosOptions { tls, ..NacosOptions::new(&args.nacos) })?;
    nacos.wait_ready(Duration::from_secs(args.wait)).await?;
    if let (Some(user), Some(password)) = (&args.username, &args.password) {
        nacos.log_in(user, password).await?;
    }
    // The public namespace always exists, and its documents carry no tenant.
    let namespace = if args.namespace == "public" { "" } else { args.namespace.as_str() };
    if !namespace.is_empty() && nacos.ensure_namespace(namespace).await? {
        say(format_args!("created    namespace {namespace}"));
    }
    for document in &documents {
        publish(&nacos, args, namespace, document).await?;
    }
    Ok(())
}

async fn publish(nacos: &Nacos, args: &PublishArgs, namespace: &str, document: &Document) -> Result<()> {
    let Document { name, text } = document;
    let place = Place { namespace, group: &args.group, name };
    match nacos.document(place).await? {
        Some(there) if there == *text => say(format_args!("unchanged  {name}")),
        Some(_) if !args.overwrite => {
            say(format_args!("kept       {name}: Nacos holds another text (edited live?); --overwrite replaces it"))
        }
        Some(_) => {
            nacos.publish(place, text).await?;
            say(format_args!("replaced   {name}"));
        }
        None => {
            nacos.publish(place, text).await?;
            say(format_args!("published  {name}"));
        }
    }
    Ok(())
}
