//! Which versions may answer: tag and version policy in, selectors out.

use crate::{
    lane::{Choice, Lane, Selector},
    tag::GrayStatus,
};

/// What to do when no instance of the wanted version is alive. Applies to gray traffic only: a request that
/// belongs to `prodVersion` never falls back, because that would put it on gray.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fallback {
    /// Answer 503.
    Fail,
    /// Use `prodVersion`.
    #[default]
    Prod,
    /// Use every instance.
    Any,
}

impl Fallback {
    /// The value in settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Prod => "prod",
            Self::Any => "any",
        }
    }
}

/// `kerwin.tool.gray.{load,version,fallback}`: how a tag becomes a version.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VersionPolicy {
    /// Whether gray release is on at all; when not, every instance serves.
    pub load: bool,
    /// Version of ordinary traffic.
    pub prod: String,
    /// Version of gray traffic.
    pub gray: String,
    /// What gray traffic does without a gray instance.
    pub fallback: Fallback,
}

impl Default for VersionPolicy {
    fn default() -> Self {
        Self { load: false, prod: "V1".into(), gray: "V2".into(), fallback: Fallback::default() }
    }
}

impl VersionPolicy {
    /// Gray release on or off (`load`), the versions of ordinary and of gray traffic, and what gray traffic does without
    /// a gray instance.
    pub fn new(load: bool, prod: impl Into<String>, gray: impl Into<String>, fallback: Fallback) -> Self {
        Self { load, prod: prod.into(), gray: gray.into(), fallback }
    }

    /// The version a request wants, `None` for "any". Without a tag a caller stays on its own version, as in the
    /// Java starter; without an own version it counts as ordinary traffic.
    pub fn wanted<'v>(&'v self, tag: Option<GrayStatus>, own: Option<&'v str>) -> Option<&'v str> {
        match tag {
            _ if !self.load => None,
            Some(GrayStatus::All) => None,
            Some(GrayStatus::Prod) => Some(&self.prod),
            Some(GrayStatus::Gray) => Some(&self.gray),
            None => Some(own.unwrap_or(&self.prod)),
        }
    }

    /// The selectors for a request that carries a tag at most, best first.
    pub fn choice<'v>(
        &'v self,
        tag: Option<GrayStatus>,
        own: Option<&'v str>,
    ) -> impl Iterator<Item = Selector<&'v str>> + Clone + use<'v> {
        let (first, second) = match self.wanted(tag, own) {
            None => (Selector::ANY, None),
            Some(wanted) if wanted == self.prod => (Selector::version(wanted), None),
            Some(wanted) => (Selector::version(wanted), self.stand_in()),
        };
        [Some(first), second].into_iter().flatten()
    }

    /// Who answers gray requests without a gray instance.
    fn stand_in(&self) -> Option<Selector<&str>> {
        match self.fallback {
            Fallback::Fail => None,
            Fallback::Prod => Some(Selector::version(&self.prod)),
            Fallback::Any => Some(Selector::ANY),
        }
    }

    /// The lane of ordinary requests: `baseline`.
    pub fn baseline(&self) -> Lane {
        Lane::new("baseline", GrayStatus::Prod, [], Choice::version(&self.prod))
    }

    /// The lane of gray requests: `gray`.
    pub fn gray(&self) -> Lane {
        let stand_in = self.stand_in().map(|selector| selector.to_owned());
        let choice = Choice::new(Selector::version(self.gray.as_str()).to_owned(), stand_in);
        Lane::new("gray", GrayStatus::Gray, [], choice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::{Instance, InstanceSet};

    fn set(versions: &[&str]) -> InstanceSet {
        let instances: Vec<_> =
            versions.iter().zip(1..).map(|(v, port)| Instance::new("10.0.0.1", port).with_version(*v)).collect();
        InstanceSet::new(&instances, None)
    }

    /// The place of the first selector that selects anybody, and whom.
    fn show<'c>(set: &InstanceSet, choice: impl Iterator<Item = Selector<&'c str>>) -> String {
        let found = choice.enumerate().find_map(|(place, selector)| Some((place, set.select(selector)?)));
        let Some((place, subset)) = found else { return "none".into() };
        let names = subset.endpoints().iter().filter_map(|e| e.version()).collect::<Vec<_>>().join(",");
        format!("{} {names}", if place == 0 { "hit" } else { "fallback" })
    }

    #[test]
    fn tags_select_versions() {
        use GrayStatus::{All, Gray, Prod};
        type Case = (bool, Fallback, &'static [&'static str], Option<GrayStatus>, Option<&'static str>, &'static str);
        let cases: [Case; 17] = [
            (true, Fallback::Prod, &["V1", "V2"], Some(All), None, "hit V1,V2"),
            (true, Fallback::Prod, &["V1", "V2"], Some(Prod), Some("V2"), "hit V1"),
            (true, Fallback::Prod, &["V1", "V2"], Some(Gray), Some("V1"), "hit V2"),
            (true, Fallback::Prod, &["V1", "V2"], None, Some("V2"), "hit V2"),
            (true, Fallback::Prod, &["V1", "V2"], None, Some("V1"), "hit V1"),
            (true, Fallback::Prod, &["V1", "V2"], None, None, "hit V1"),
            (false, Fallback::Prod, &["V1", "V2"], Some(Gray), Some("V1"), "hit V1,V2"),
            (false, Fallback::Prod, &["V1", "V2"], None, Some("V1"), "hit V1,V2"),
            (true, Fallback::Prod, &["V1"], Some(Gray), None, "fallback V1"),
            (true, Fallback::Fail, &["V1"], Some(Gray), None, "none"),
            (true, Fallback::Any, &["V1", "V3"], Some(Gray), None, "fallback V1,V3"),
            (true, Fallback::Prod, &["V3"], Some(Gray), None, "none"),
            (true, Fallback::Any, &["V2"], Some(Prod), None, "none"),
            (true, Fallback::Any, &["V2"], None, None, "none"),
            (true, Fallback::Prod, &["V1"], None, Some("V2"), "fallback V1"),
            (true, Fallback::Any, &[], Some(Gray), None, "none"),
            (true, Fallback::Any, &[], Some(All), None, "none"),
        ];
        for (load, fallback, versions, tag, own, expect) in cases {
            let policy = VersionPolicy { load, fallback, ..VersionPolicy::default() };
            let seen = show(&set(versions), policy.choice(tag, own));
            assert_eq!(seen, expect, "load={load} {fallback:?} {versions:?} {tag:?} own={own:?}");
        }
    }
}
