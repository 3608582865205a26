//! One file: a line that says what it is, and one of JSON.

use std::collections::BTreeMap;

use gray_core::instance::{Instance, Metadata};
use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;

/// First word of every file, with the version of the format.
const MAGIC: &str = "gray-chain-snapshot/1";
/// Longest file that is written or read, in bytes.
pub(super) const MAX_BYTES: usize = 8 * 1024 * 1024;

/// What one file holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Which server, namespace and group it came from; what came from elsewhere is not used.
    pub place: String,
    /// When it was last known to be true, in Unix seconds.
    pub saved: u64,
    /// The rest.
    pub content: Content,
}

/// The thing itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Content {
    /// The documents in effect, by name.
    Documents(BTreeMap<String, String>),
    /// The instances of a service.
    Instances {
        /// Its name.
        service: String,
        /// As the registry listed them.
        #[serde(with = "wire")]
        list: Vec<Instance>,
    },
}

/// The bytes of a file.
pub(super) fn encode(kept: &Kept) -> Result<Vec<u8>, String> {
    let body = serde_json::to_vec(kept).map_err(|error| error.to_string())?;
    let mut bytes = format!("{MAGIC} {:016x}\n", checksum(&body)).into_bytes();
    bytes.extend(body);
    if bytes.len() > MAX_BYTES {
        return Err(format!("{} bytes, more than the {MAX_BYTES} that are kept", bytes.len()));
    }
    Ok(bytes)
}

/// Reads a file, whole or not at all.
///
/// # Errors
/// What is wrong with it.
pub fn decode(bytes: &[u8]) -> Result<Kept, String> {
    if bytes.len() > MAX_BYTES {
        return Err(format!("longer than {MAX_BYTES} bytes"));
    }
    let end = bytes.iter().take(80).position(|byte| *byte == b'\n').ok_or("it does not begin as a snapshot does")?;
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| "it does not begin as a snapshot does")?;
    let (magic, sum) = head.split_once(' ').ok_or("it does not begin as a snapshot does")?;
    if magic != MAGIC {
        return Err(format!("it is a `{}`, and this program reads `{MAGIC}`", magic.escape_debug()));
    }
    let body = &bytes[end + 1..];
    if sum != format!("{:016x}", checksum(body)) {
        return Err("its checksum is wrong: it was damaged, or cut off".to_owned());
    }
    decode_body(body)
}

/// The second line alone, whatever its checksum.
pub fn decode_body(body: &[u8]) -> Result<Kept, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

fn checksum(body: &[u8]) -> u64 {
    XxHash3_64::oneshot(body)
}

/// Instances as JSON.
mod wire {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

    use super::{BTreeMap, Instance, Metadata};

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct One {
        host: String,
        port: u16,
        weight: f64,
        healthy: bool,
        enabled: bool,
        metadata: BTreeMap<String, String>,
    }

    pub(super) fn serialize<S: Serializer>(list: &[Instance], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(list.iter().map(|instance| One {
            host: instance.host.clone(),
            port: instance.port,
            weight: instance.weight,
            healthy: instance.healthy,
            enabled: instance.enabled,
            metadata: instance.metadata.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        }))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Instance>, D::Error> {
        let read = |one: One| {
            if one.host.is_empty() || one.host.contains(|c: char| c.is_control() || c.is_whitespace()) || one.port == 0
            {
                return Err(D::Error::custom("an instance without a usable address"));
            }
            Ok(Instance {
                host: one.host,
                port: one.port,
                weight: one.weight,
                healthy: one.healthy,
                enabled: one.enabled,
                metadata: one.metadata.into_iter().collect::<Metadata>(),
                space: None,
            })
        };
        Vec::<One>::deserialize(from)?.into_iter().map(read).collect()
    }
}
