//! The begin step: facts about a request in, a decision out, and the tag written onto the request.

use std::{cell::OnceCell, net::IpAddr};

use gray_common::{
    GRAY_HEADER, GrayStatus,
    rule::{Decision, Facts},
};
use http::{HeaderMap, HeaderName};

use crate::{
    geo::{self, CityData},
    snapshot::Snapshot,
};

/// Decides, from the headers as the client sent them and its address. Pure.
pub fn begin<'s>(snapshot: &'s Snapshot, headers: &HeaderMap, client_ip: IpAddr) -> Decision<'s> {
    snapshot.rules.decide(&ClientFacts { headers, client_ip, data: snapshot.city.as_deref(), city: OnceCell::new() })
}

/// Writes the tag, over whatever stands there under the same name. The last edit before a request is sent.
pub fn dye(headers: &mut HeaderMap, tag: GrayStatus) {
    headers.insert(GRAY_HEADER, tag.header_value());
}

/// Whether a header could pass for the tag at a backend that folds `-`, `_` and `.`: the tag itself included.
pub fn is_tag_spelling(name: &str) -> bool {
    name.bytes().filter(|byte| !b"-_.".contains(byte)).eq(GRAY_HEADER.as_str().bytes())
}

/// Facts of one request; the city is looked up when a rule first asks for it.
struct ClientFacts<'r> {
    headers: &'r HeaderMap,
    client_ip: IpAddr,
    data: Option<&'r CityData>,
    city: OnceCell<Option<&'r str>>,
}

impl Facts for ClientFacts<'_> {
    fn header(&self, name: &HeaderName) -> Option<&[u8]> {
        self.headers.get(name).map(http::HeaderValue::as_bytes)
    }

    fn client_ip(&self) -> Option<IpAddr> {
        Some(self.client_ip)
    }

    fn city(&self) -> Option<&str> {
        *self.city.get_or_init(|| geo::city(self.client_ip, self.data))
    }
}

#[cfg(test)]
mod tests {
    use gray_common::rule::{IpSet, Matcher, Rule, RuleSet};
    use http::HeaderValue;

    use super::*;

    fn snapshot(matchers: Vec<Matcher>) -> Snapshot {
        let any = matchers.into_iter().map(|matcher| vec![matcher]).collect();
        let rule = Rule { name: "test".into(), any, target: GrayStatus::Gray };
        Snapshot { rules: RuleSet::new(vec![rule], GrayStatus::Prod), ..Snapshot::empty() }
    }

    fn decide(snapshot: &Snapshot, headers: &[(&'static str, &'static str)], ip: &str) -> GrayStatus {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        begin(snapshot, &map, ip.parse().expect("ip")).status
    }

    #[test]
    fn off_means_all() {
        assert_eq!(decide(&Snapshot::empty(), &[("gray", "gray-996")], "8.8.8.8"), GrayStatus::All);
    }

    #[test]
    fn header_address_and_city_lead_to_gray() {
        let mut ips = IpSet::default();
        ips.insert("9.9.9.0/24").expect("network");
        let snapshot = snapshot(vec![
            Matcher::Header { name: GRAY_HEADER, value: b"gray-996".as_slice().into() },
            Matcher::ClientIp(ips),
            Matcher::city([geo::LOCAL]),
        ]);
        let cases = [
            (vec![], "8.8.8.8", GrayStatus::Prod),
            (vec![("gray", "gray-996")], "8.8.8.8", GrayStatus::Gray),
            (vec![("gray", "GRAY")], "8.8.8.8", GrayStatus::Prod),
            (vec![("gray", "x"), ("gray", "gray-996")], "8.8.8.8", GrayStatus::Prod),
            (vec![("x-real-ip", "9.9.9.9")], "8.8.8.8", GrayStatus::Prod),
            (vec![], "9.9.9.9", GrayStatus::Gray),
            (vec![], "192.168.0.7", GrayStatus::Gray),
        ];
        for (headers, ip, expect) in cases {
            assert_eq!(decide(&snapshot, &headers, ip), expect, "{headers:?} from {ip}");
        }
    }

    #[test]
    fn the_tag_is_one_and_ours() {
        let mut headers = HeaderMap::new();
        headers.append(GRAY_HEADER, HeaderValue::from_static("GRAY"));
        headers.append(GRAY_HEADER, HeaderValue::from_static("gray-996"));
        dye(&mut headers, GrayStatus::Prod);
        assert_eq!(headers.get_all(GRAY_HEADER).iter().collect::<Vec<_>>(), ["PROD"]);
    }

    #[test]
    fn spellings_of_the_tag() {
        for name in ["gray", "g.ray", "gray_", "-gray", "g-r-a-y", "g_ra.y"] {
            assert!(is_tag_spelling(name), "{name}");
        }
        for name in ["grayy", "x-gray", "gra", "stingray", "", "-"] {
            assert!(!is_tag_spelling(name), "{name}");
        }
    }
}
