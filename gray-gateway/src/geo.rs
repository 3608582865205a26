//! From address to city. Private addresses need no data; the rest is looked up in ip2region data, if some was loaded.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use gray_common::with_causes;
use xdb_parse::IpVersion;

/// The city of private, loopback and link-local addresses, as ip2region calls it ("intranet" in the data's language).
pub const LOCAL: &str = "本地";

/// Layout of the file: a header, then 256 x 256 pairs of pointers, one pair for each first two bytes of an address.
const HEADER: usize = 256;
const PAIRS: usize = 256 * 256;

/// City of an address: [`LOCAL`] when it is private, else what the data says.
pub fn city(ip: IpAddr, data: Option<&CityData>) -> Option<&str> {
    let ip = ip.to_canonical();
    if is_private(ip) { Some(LOCAL) } else { data?.public(ip) }
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// ip2region data, kept in memory.
pub struct CityData {
    bytes: Vec<u8>,
    version: IpVersion,
    layout: Layout,
}

impl std::fmt::Debug for CityData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CityData").field("bytes", &self.bytes.len()).field("layout", &self.layout).finish()
    }
}

/// Which field of a record is the city.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// `country|region|province|city|ISP`: the years up to 2.x.
    RegionFirst,
    /// `country|province|city|ISP`, later with a country code behind.
    NoRegion,
}

impl Layout {
    fn city(self, record: &str) -> Option<&str> {
        let index = match self {
            Self::RegionFirst => 3,
            Self::NoRegion => 2,
        };
        record.split('|').nth(index).map(str::trim).filter(|city| !city.is_empty() && *city != "0")
    }
}

impl CityData {
    /// Reads a file and checks it from end to end, so that no lookup can fail later.
    ///
    /// # Errors
    /// When the file cannot be read or is not ip2region data.
    pub fn open(path: &Path) -> Result<Self, CityDataError> {
        let bytes = std::fs::read(path).map_err(|source| CityDataError::Read { path: path.into(), source })?;
        Self::new(bytes).map_err(|reason| CityDataError::Broken { path: path.into(), reason })
    }

    fn new(bytes: Vec<u8>) -> Result<Self, &'static str> {
        let version = check(&bytes)?;
        let layout = layout(&bytes, version);
        Ok(Self { bytes, version, layout })
    }

    /// City of an address; `None` when the data does not know it.
    pub fn lookup(&self, ip: IpAddr) -> Option<&str> {
        city(ip, Some(self))
    }

    fn public(&self, ip: IpAddr) -> Option<&str> {
        self.layout.city(record(&self.bytes, self.version, ip)?)
    }
}

/// The city data: 11 MB that are read when the first rule asks for a city, and never otherwise.
#[derive(Clone, Debug, Default)]
pub struct CitySource {
    path: Option<PathBuf>,
    is_needed: bool,
    data: Option<Arc<CityData>>,
}

impl CitySource {
    /// Data to be read from this file when needed.
    pub fn new(path: Option<PathBuf>) -> Self {
        Self { path, is_needed: false, data: None }
    }

    /// What was read.
    pub fn data(&self) -> Option<Arc<CityData>> {
        self.data.clone()
    }

    /// Reads the data unless it is there. Without data a city rule is unusable, and everything else works.
    pub(crate) fn load(&mut self) {
        self.is_needed = true;
        if self.data.is_some() {
            return;
        }
        let unusable = "rules that ask for a city can only match private addresses (本地)";
        match self.path.as_deref().map(CityData::open) {
            Some(Ok(data)) => {
                tracing::info!(path = ?self.path, "city data loaded");
                self.data = Some(Arc::new(data));
            }
            Some(Err(error)) => tracing::warn!("{unusable}: {}", with_causes(&error)),
            None => tracing::warn!("{unusable}: no city data is given (--city-data, GRAY_CITY_DATA)"),
        }
    }

    /// Reads the file again, if it was ever asked for. A bad one changes nothing.
    pub(crate) async fn reload(&mut self) {
        let Some(path) = self.path.clone().filter(|_| self.is_needed) else { return };
        // It does not panic, and is not aborted.
        let Ok(read) = tokio::task::spawn_blocking(move || CityData::open(&path)).await else { return };
        match read {
            Ok(data) => {
                tracing::info!(path = ?self.path, "city data read again");
                self.data = Some(Arc::new(data));
            }
            Err(error) => {
                let stays = if self.data.is_some() { "the data in use stays" } else { "no data is in use" };
                tracing::warn!("city data not reloaded, {stays}: {}", with_causes(&error));
            }
        }
    }
}

fn record(bytes: &[u8], version: IpVersion, ip: IpAddr) -> Option<&str> {
    match (ip, version) {
        (IpAddr::V4(ip), IpVersion::V4) => xdb_parse::search_by_uint(ip.to_bits(), bytes).ok(),
        (IpAddr::V6(ip), IpVersion::V6) => xdb_parse::search_by_u128(ip.to_bits(), bytes).ok(),
        _ => None,
    }
}

/// The parser indexes without checks; what it will index is checked here, once.
fn check(bytes: &[u8]) -> Result<IpVersion, &'static str> {
    let word = |at: usize| bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
    let index = HEADER + PAIRS * 8;
    if bytes.len() < index {
        return Err("it is too short");
    }
    match (word(8), word(12)) {
        (Some(first), Some(last)) if first <= last && last < u32::MAX => {}
        _ => return Err("its header makes no sense"),
    }
    let version = xdb_parse::detect_version(bytes).map_err(|_| "it is neither IPv4 nor IPv6 data")?;
    let (size, pointer) = match version {
        IpVersion::V4 => (14, 8),
        IpVersion::V6 => (38, 32),
    };
    for pair in 0..PAIRS {
        let at = HEADER + pair * 8;
        let (Some(start), Some(end)) = (word(at), word(at + 4)) else { return Err("its index is cut off") };
        let (start, end) = (start as usize, end as usize);
        let Some(segments) = (end <= bytes.len()).then(|| bytes.get(start..end)).flatten() else {
            return Err("its index points outside of the file");
        };
        for segment in segments.chunks_exact(size) {
            let length = usize::from(u16::from_le_bytes([segment[pointer], segment[pointer + 1]]));
            let [a, b, c, d] = [2, 3, 4, 5].map(|byte| segment[pointer + byte]);
            let from = u32::from_le_bytes([a, b, c, d]) as usize;
            if from.checked_add(length).is_none_or(|to| to > bytes.len()) {
                return Err("a record lies outside of the file");
            }
        }
    }
    Ok(version)
}

/// Looks at a few hundred records: five fields are the old layout unless the last one is a country code.
fn layout(bytes: &[u8], version: IpVersion) -> Layout {
    let (mut region_first, mut no_region) = (0, 0);
    for high in (1..=223u8).flat_map(|a| [(a, 0), (a, 128)]) {
        let ip = match version {
            IpVersion::V4 => IpAddr::from([high.0, high.1, 1, 1]),
            IpVersion::V6 => IpAddr::from([0x2000 | u16::from(high.0), u16::from(high.1), 0, 0, 0, 0, 0, 1]),
        };
        let Some(record) = record(bytes, version, ip) else { continue };
        let code = |field: &str| field.len() == 2 && field.bytes().all(|b| b.is_ascii_uppercase());
        match record.split('|').count() {
            5 if record.rsplit('|').next().is_some_and(code) => no_region += 1,
            5 => region_first += 1,
            4 => no_region += 1,
            _ => {}
        }
    }
    if region_first >= no_region { Layout::RegionFirst } else { Layout::NoRegion }
}

/// The city data cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CityDataError {
    /// The file cannot be read.
    #[error("city data {} cannot be read; scripts/fetch-city-data.sh fetches it", path.display())]
    Read {
        /// Which file.
        path: Box<Path>,
        /// Why.
        source: std::io::Error,
    },
    /// The file is something else.
    #[error("{} is not ip2region data: {reason}; scripts/fetch-city-data.sh fetches it again", path.display())]
    Broken {
        /// Which file.
        path: Box<Path>,
        /// What is wrong with it.
        reason: &'static str,
    },
}

#[cfg(test)]
mod tests {

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("ip")
    }

    #[tokio::test]
    async fn what_is_read_again_is_what_is_needed_and_a_bad_file_changes_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("ip2region.xdb");
        std::fs::write(&path, "no data").expect("written");
        let mut source = CitySource::new(Some(path.clone()));
        source.reload().await;
        assert!(!source.is_needed && source.data().is_none(), "no rule asks for a city");
        let data = Arc::new(CityData { bytes: Vec::new(), version: IpVersion::V4, layout: Layout::NoRegion });
        source = CitySource { path: Some(path), is_needed: true, data: Some(Arc::clone(&data)) };
        source.reload().await;
        assert!(source.data().is_some_and(|kept| Arc::ptr_eq(&kept, &data)));
    }

    #[test]
    fn private_addresses_need_no_data() {
        for text in ["127.0.0.1", "10.1.2.3", "192.168.1.1", "172.16.0.1", "169.254.1.1", "::1", "fd00::1", "fe80::1"] {
            assert_eq!(city(ip(text), None), Some(LOCAL), "{text}");
        }
        assert_eq!(city(ip("::ffff:10.0.0.1"), None), Some(LOCAL));
        for text in ["8.8.8.8", "172.32.0.1", "2001:db8::1", "0.0.0.0"] {
            assert_eq!(city(ip(text), None), None, "{text}");
        }
    }

    #[test]
    fn the_city_is_found_in_either_layout() {
        let cases = [
            (Layout::RegionFirst, "中国|0|浙江省|杭州市|电信", Some("杭州市")),
            (Layout::RegionFirst, "美国|0|0|0|0", None),
            (Layout::NoRegion, "中国|浙江省|杭州市|电信", Some("杭州市")),
            (Layout::NoRegion, "中国|浙江省|杭州市|电信|CN", Some("杭州市")),
            (Layout::NoRegion, "中国|浙江省||电信", None),
            (Layout::NoRegion, "", None),
        ];
        for (layout, record, expect) in cases {
            assert_eq!(layout.city(record), expect, "{record}");
        }
    }

    #[test]
    fn garbage_is_refused_and_never_panics() {
        assert!(CityData::new(Vec::new()).is_err());
        assert!(CityData::new(vec![0xff; HEADER + PAIRS * 8]).is_err());
        let mut bytes = vec![0; HEADER + PAIRS * 8];
        bytes[HEADER..HEADER + 8].copy_from_slice(&[0, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f]);
        assert!(CityData::new(bytes).is_err());
        let missing = CityData::open(Path::new("/nonexistent/ip2region.xdb")).expect_err("missing");
        assert!(missing.to_string().contains("fetch-city-data"), "{missing}");
    }

    /// Needs the real file; `scripts/fetch-city-data.sh` puts it there, and `make test` runs that first.
    #[test]
    fn the_real_data_knows_cities() {
        let default = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../data/ip2region.xdb"));
        let path = std::env::var_os("GRAY_CITY_DATA").map_or(default, PathBuf::from);
        if !path.exists() {
            eprintln!("skipped: no city data at {}", path.display());
            return;
        }
        let data = CityData::open(&path).expect("city data");
        assert_eq!(data.lookup(ip("127.0.0.1")), Some(LOCAL));
        let hangzhou = data.lookup(ip("115.236.0.1")).map(str::to_owned);
        assert_eq!(hangzhou.as_deref(), Some("杭州市"));
        assert_eq!(data.lookup(ip("2001:4860:4860::8888")), None);
        // Every address gets an answer or none, never a panic.
        for high in 0..=255u8 {
            for low in [0, 1, 77, 255] {
                data.lookup(IpAddr::from([high, low, high, low]));
            }
        }
    }
}
