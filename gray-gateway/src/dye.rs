//! The decision, written onto the request, and told to the browser.

use gray_core::{
    GRAY_HEADER, GrayStatus,
    tag::{CALLER_HEADER, LANE_HEADER, SIGNATURE_HEADER},
};
use gray_rules::{Decision, RuleSet};
use http::{HeaderName, HeaderValue};

use crate::header::write_line;

/// What decisions look like on the wire, ready to be written.
#[derive(Clone, Debug)]
pub struct Mark {
    /// What `gray-lane` says; `None` when gray release is off.
    pub lane: Option<HeaderValue>,
    /// What `gray-signature` says; `None` when tags are not signed.
    pub signature: Option<HeaderValue>,
    /// What `gray-caller` says.
    pub caller: HeaderValue,
}

/// Writes a decision as header lines, the tag among them. The request must have no others under these names.
pub fn dye(out: &mut Vec<u8>, tag: GrayStatus, mark: &Mark) {
    let mut line = |name: &HeaderName, value: &HeaderValue| write_line(out, name, value);
    line(&GRAY_HEADER, &tag.header_value());
    if let Some(lane) = &mark.lane {
        line(&LANE_HEADER, lane);
    }
    if let Some(signature) = &mark.signature {
        line(&SIGNATURE_HEADER, signature);
    }
    line(&CALLER_HEADER, &mark.caller);
}

/// The cookie that tells the browser its lane, so that a front end can follow, when rules name one and it does not
/// say so already. A user on the default lane gets one only to correct another.
pub fn tell(rules: &RuleSet, decision: &Decision<'_>, said: Option<&str>) -> Option<HeaderValue> {
    let cookie = rules.cookie()?;
    // A call of a page that says itself which lane it is of tells nothing about the next page.
    let keeps = |place: usize| rules.rules().get(place).is_some_and(|rule| rule.keeps_cookie);
    if decision.rule_place.is_some_and(keeps) {
        return None;
    }
    let lane = decision.lane.name();
    let silent = said.is_none() && lane == rules.default_lane().lane().name();
    if silent || said == Some(lane) {
        return None;
    }
    // Readable by scripts: the front end is who it is for. It decides nothing, so it needs no secrecy.
    HeaderValue::try_from(format!("{cookie}={lane}; Path=/; SameSite=Lax")).ok()
}

/// Whether a header could pass for one of those that only we write, at a backend that folds `-`, `_` and `.`. The case
/// does not matter.
pub fn is_ours(name: &str) -> bool {
    const OURS: [&str; 5] = ["gray", "graylane", "graysignature", "graycaller", "grayhops"];
    let mut letters =
        name.bytes().filter(|byte| !b"-_.".contains(byte)).map(|byte| byte.to_ascii_lowercase()).peekable();
    // Nearly every name leaves here.
    if letters.peek() != Some(&b'g') {
        return false;
    }
    OURS.iter().any(|ours| letters.clone().eq(ours.bytes()))
}

#[cfg(test)]
mod tests {
    use gray_document::{Documents, check};
    use gray_rules::RequestFacts;
    use gray_settings::GraySettings;
    use http::HeaderMap;

    use super::*;
    use crate::geo;

    fn rules(text: &str) -> RuleSet {
        let on = "kerwin.tool.gray: { load: true, version: { prodVersion: V1, grayVersion: V2 }, \
                  gateway: { enabled: true, grayHeadKey: gray, grayHeadValue: gray-996, grayIPList: 9.9.9.0/24, \
                  grayCityList: 本地 } }\n";
        let read = |documents: &Documents| {
            RuleSet::read(documents, &GraySettings::read(&documents.root(), "kerwin.tool.gray"))
        };
        check(&[("rules", &format!("{on}{text}"))], read).unwrap_or_else(|problems| panic!("{problems}")).0
    }

    fn facts<'r>(headers: &'r HeaderMap, ip: &str) -> RequestFacts<'r> {
        let ip = ip.parse().expect("ip");
        RequestFacts { client_ip: Some(ip), city: geo::city(ip, None), ..RequestFacts::new(headers) }
    }

    #[test]
    fn header_address_and_city_lead_to_gray() {
        let rules = rules("");
        let cases = [
            (vec![], "8.8.8.8", GrayStatus::Prod),
            (vec![("gray", "gray-996")], "8.8.8.8", GrayStatus::Gray),
            (vec![("gray", "GRAY")], "8.8.8.8", GrayStatus::Prod),
            (vec![("gray", "x"), ("gray", "gray-996")], "8.8.8.8", GrayStatus::Prod),
            (vec![("x-real-ip", "9.9.9.9")], "8.8.8.8", GrayStatus::Prod),
            (vec![], "9.9.9.9", GrayStatus::Gray),
            (vec![], "192.168.0.7", GrayStatus::Gray),
        ];
        for (sent, ip, expect) in cases {
            let mut headers = HeaderMap::new();
            for (name, value) in &sent {
                headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            assert_eq!(rules.decide(&facts(&headers, ip)).tag(), expect, "{sent:?} from {ip}");
        }
        let none = HeaderMap::new();
        assert_eq!(RuleSet::off().decide(&facts(&none, "192.168.0.7")).tag(), GrayStatus::All);
    }

    #[test]
    fn the_mark_is_written_as_lines() {
        let value = |text| Some(HeaderValue::from_static(text));
        let caller = HeaderValue::from_static("gateway-app@V1");
        let mut out = Vec::new();
        dye(&mut out, GrayStatus::Gray, &Mark { lane: value("lane"), signature: value("signature"), caller });
        assert_eq!(
            String::from_utf8(out).expect("text"),
            "gray: GRAY\r\ngray-lane: lane\r\ngray-signature: signature\r\ngray-caller: gateway-app@V1\r\n"
        );
    }

    #[test]
    fn a_browser_is_told_its_lane_when_it_does_not_know() {
        let rules = rules("gray: { cookie: release }");
        let told = |ip: &str, said| {
            let none = HeaderMap::new();
            let cookie = tell(&rules, &rules.decide(&facts(&none, ip)), said);
            cookie.map(|value| value.to_str().expect("text").to_owned())
        };
        let cookie = |lane: &str| Some(format!("release={lane}; Path=/; SameSite=Lax"));
        assert_eq!(told("9.9.9.9", None), cookie("gray"));
        assert_eq!(told("9.9.9.9", Some("gray")), None);
        assert_eq!(told("9.9.9.9", Some("other")), cookie("gray"));
        assert_eq!(told("8.8.8.8", None), None);
        assert_eq!(told("8.8.8.8", Some("gray")), cookie("baseline"));
    }

    #[test]
    fn a_rule_may_leave_the_cookie_as_it_is() {
        let rule = |more| {
            format!("gray: {{ cookie: release, rules: [{{ name: page, when: {{ header.x: 1 }}, lane: gray{more} }}] }}")
        };
        for (more, told) in [("", true), (", cookie: true", true), (", cookie: false", false)] {
            let rules = rules(&rule(more));
            let mut headers = HeaderMap::new();
            headers.insert("x", HeaderValue::from_static("1"));
            let decision = rules.decide(&facts(&headers, "8.8.8.8"));
            assert_eq!(tell(&rules, &decision, Some("baseline")).is_some(), told, "{more}");
        }
    }

    #[test]
    fn spellings_of_our_headers() {
        for name in [
            "gray",
            "g.ray",
            "gray_",
            "-gray",
            "g-r-a-y",
            "g_ra.y",
            "gray-lane",
            "gray_lane",
            "graysignature",
            "gray-caller",
            "gray-hops",
        ] {
            assert!(is_ours(name), "{name}");
        }
        for name in ["grayy", "x-gray", "gra", "stingray", "", "-", "gray-tag", "gray-lanes", "gray-path"] {
            assert!(!is_ours(name), "{name}");
        }
    }
}
