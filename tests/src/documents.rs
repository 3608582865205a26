//! The configuration documents of `deploy/nacos`, with the edits a test wants.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// Name of the shared document.
pub const COMMON: &str = "common-config.yaml";
/// Name of the gateway's document.
pub const GATEWAY: &str = "gateway-app.yaml";

/// The repository's root.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

/// Both documents.
#[derive(Clone, Debug)]
pub struct Documents {
    /// `common-config.yaml`.
    pub common: String,
    /// `gateway-app.yaml`.
    pub gateway: String,
}

impl Documents {
    /// As they are in the repository.
    pub fn deployed() -> Result<Self> {
        let read = |name: &str| {
            let path = repository().join("deploy/nacos").join(name);
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        Ok(Self { common: read(COMMON)?, gateway: read(GATEWAY)? })
    }

    /// With the value of `key` replaced in the one document that has it.
    pub fn with(mut self, key: &str, value: &str) -> Result<Self> {
        let changed =
            [&mut self.common, &mut self.gateway].into_iter().filter_map(|text| replace(text, key, value)).count();
        ensure!(changed == 1, "{changed} documents have a line `{key}:`");
        Ok(self)
    }

    /// With one more route: `/{prefix}/**` to `uri`, the prefix stripped.
    #[must_use]
    pub fn with_route(self, prefix: &str, uri: &str) -> Self {
        self.with_timed_route(prefix, uri, -1)
    }

    /// The same with a limit on the wait for an answer; negative for none.
    #[must_use]
    pub fn with_timed_route(mut self, prefix: &str, uri: &str, millis: i64) -> Self {
        self.gateway.push_str(&format!(
            "        - id: {prefix}\n          uri: {uri}\n          predicates: ['Path=/{prefix}/**']\n          \
             filters: ['StripPrefix=1']\n          metadata: {{ response-timeout: {millis} }}\n"
        ));
        self
    }
}

fn replace(text: &mut String, key: &str, value: &str) -> Option<()> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let line =
        lines.iter_mut().find(|line| line.trim_start().strip_prefix(key).is_some_and(|rest| rest.starts_with(':')))?;
    let indent = line.len() - line.trim_start().len();
    *line = format!("{}{key}: {value}", &line[..indent]);
    *text = lines.join("\n") + "\n";
    Some(())
}
