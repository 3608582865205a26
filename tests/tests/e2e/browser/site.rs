//! A front end in two versions, each a directory of its own and a chain of services.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
};

use anyhow::{Result, ensure};
use e2e_tests::Lab;

const VERSIONS: [&str; 2] = ["V1", "V2"];

/// Two users, one on each version; which one is on which, the rules say.
pub(super) const USERS: [&str; 2] = ["ann", "bob"];

/// What keeps the parts of a page together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mechanism {
    /// Names change with their content, and the page says in its calls which version it is.
    On,
    /// The same names in both versions, and calls that do not say which page they are from.
    Off,
}

pub(super) struct Site {
    pub(super) lab: Lab,
    mechanism: Mechanism,
    /// The names of its versioned files, by version: script, style, and what is loaded later.
    pub(super) names: [[String; 3]; 2],
}

impl Site {
    pub(super) async fn start(mechanism: Mechanism) -> Result<Self> {
        let mut lab = Lab::new("", &rules(mechanism, 0))?;
        let directories = [lab.directory("web/v1")?, lab.directory("web/v2")?];
        let is_on = mechanism == Mechanism::On;
        let mut names = Vec::new();
        for (directory, version) in directories.iter().zip(VERSIONS) {
            names.push(write(directory, version, is_on)?);
        }
        let versioned = if is_on { "versioned: /assets/, " } else { "" };
        lab.routes(&format!(
            "spring.cloud.gateway.routes:
  - {{ id: order-app, uri: 'lb://order-app', predicates: ['Path=/order-api/**'], filters: ['StripPrefix=1'], metadata: {{ vary-by-lane: {is_on} }} }}
  - id: web
    uri: file://{}
    predicates: ['Path=/**']
    metadata: {{ {versioned}max-age: {}, lanes: {{ new: 'file://{}' }} }}",
            directories[0].display(),
            if is_on { 3600 } else { 0 },
            directories[1].display()
        ))?;
        for (program, version) in [("user-app", "V1"), ("user-app", "V2"), ("order-app", "V1"), ("order-app", "V2")] {
            lab.service(program, version, &[]).await?;
        }
        lab.gateway(&[]).await?;
        let names = names.try_into().map_err(|_| anyhow::anyhow!("two versions"))?;
        Ok(Self { lab, mechanism, names })
    }

    /// Puts other rules into effect: `first` is the user who is on V1, by place.
    pub(super) async fn decide(&self, first: usize) -> Result<()> {
        self.lab.rules(&rules(self.mechanism, first)).await
    }

    /// The version of a user while `first` is on V1.
    pub(super) fn version(user: usize, first: usize) -> &'static str {
        VERSIONS[usize::from(user != first)]
    }
}

fn rules(mechanism: Mechanism, first: usize) -> String {
    let pinned = match mechanism {
        Mechanism::On => {
            "    - { name: page-v1, when: { header.x-page: V1 }, lane: baseline, cookie: false }
    - { name: page-v2, when: { header.x-page: V2 }, lane: new, cookie: false }\n"
        }
        Mechanism::Off => "",
    };
    let second = USERS[1 - first];
    format!(
        "gray:
  cookie: release
  lanes: {{ new: {{ select: V2, fallback: fail }} }}
  rules:
{pinned}    - {{ name: users, when: {{ cookie.uid: {second} }}, lane: new }}\n"
    )
}

/// Writes the files of a version; returns the names of those that are versioned.
fn write(directory: &Path, version: &str, is_on: bool) -> Result<[String; 3]> {
    let assets = directory.join("assets");
    fs::create_dir_all(&assets)?;
    let named = |stem: &str, extension: &str, content: &str| -> Result<String> {
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        let name =
            if is_on { format!("{stem}.{:016x}.{extension}", hasher.finish()) } else { format!("{stem}.{extension}") };
        fs::write(assets.join(&name), content)?;
        Ok(name)
    };
    let filled = |text: &str| {
        let text = text.replace("@VERSION@", version);
        text.replace("@PINNED@", &is_on.to_string()).replace("@WORKER@", &is_on.to_string())
    };
    let lazy = named("lazy", "js", &filled(include_str!("page/lazy.js")))?;
    let app = named("app", "js", &filled(include_str!("page/app.js")).replace("@LAZY@", &lazy))?;
    let style = named("style", "css", &filled(include_str!("page/style.css")))?;
    let page = filled(include_str!("page/index.html")).replace("@APP@", &app).replace("@STYLE@", &style);
    ensure!(!page.contains('@'), "something is not filled in: {page}");
    fs::write(directory.join("index.html"), page)?;
    fs::write(directory.join("sw.js"), filled(include_str!("page/sw.js")))?;
    fs::write(directory.join("logo.svg"), version)?;
    Ok([app, style, lazy])
}
