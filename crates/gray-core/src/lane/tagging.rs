//! What the header `gray` says on a lane, to services that know nothing else.
//!
//! Such a service picks instances for all that it calls by one word, so the word depends on who reads it: it has to be right for
//! the *other* services of the lane. The services that pass `gray-lane` on are not concerned.

use std::sync::Arc;

use super::{Choice, Lane, LaneTag, Selector, Want};
use crate::tag::{GrayStatus, VERSION_KEY};

/// How the tag of a lane comes about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tagging {
    kind: Kind,
    /// What `PROD` and `GRAY` mean; `None` where services are not told how the tag comes about.
    versions: Option<[Box<str>; 2]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// The same for every service.
    Fixed(GrayStatus),
    /// By what the lane wants of the other services.
    ByOthers {
        /// What it wants of each service, in the order of the lane.
        services: Box<[Wish]>,
        /// All of these together.
        all: Others,
        /// What it wants of all other services.
        others: Wish,
    },
}

impl Kind {
    fn by_others(services: Box<[Wish]>, others: Wish) -> Self {
        Self::ByOthers { all: services.iter().copied().collect(), services, others }
    }
}

impl Tagging {
    pub(super) fn fixed(tag: GrayStatus) -> Self {
        Self { kind: Kind::Fixed(tag), versions: None }
    }
}

/// What a lane wants of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    /// What the baseline wants.
    Baseline,
    /// Instances of `grayVersion`.
    Gray,
    /// Something else, which no tag says.
    Other,
}

/// What the tag says, and whether that is all of the lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The value of the header `gray`.
    pub tag: GrayStatus,
    /// Whether a service that goes by the tag alone calls the instances that the lane wants.
    pub is_whole: bool,
}

/// What a lane wants of services other than the one that reads the tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Others {
    named_gray: usize,
    named_baseline: usize,
    other: usize,
}

impl Others {
    fn of(&mut self, wish: Wish) -> &mut usize {
        match wish {
            Wish::Baseline => &mut self.named_baseline,
            Wish::Gray => &mut self.named_gray,
            Wish::Other => &mut self.other,
        }
    }

    /// Without the service that reads the tag.
    fn without(mut self, own: Option<Wish>) -> Self {
        if let Some(own) = own {
            *self.of(own) -= 1;
        }
        self
    }

    /// PROD while all of them are on the baseline; GRAY when there are others and each of them has grayVersion; else PROD.
    fn told(&self, rest: Wish) -> Told {
        let is_gray = self.named_gray > 0 || rest == Wish::Gray;
        let is_other = self.other > 0 || rest == Wish::Other;
        match (is_gray, is_other) {
            (false, false) => Told { tag: GrayStatus::Prod, is_whole: true },
            // What is not named is pulled along.
            (true, false) => Told { tag: GrayStatus::Gray, is_whole: rest == Wish::Gray && self.named_baseline == 0 },
            (_, true) => Told { tag: GrayStatus::Prod, is_whole: false },
        }
    }
}

fn wish(wanted: Option<Selector<&str>>, baseline: Option<Selector<&str>>, gray: &str) -> Wish {
    match wanted {
        wanted if wanted == baseline => Wish::Baseline,
        Some(Selector { space: None, want: Want::Is { key: VERSION_KEY, value } }) if value == gray => Wish::Gray,
        _ => Wish::Other,
    }
}

impl FromIterator<Wish> for Others {
    fn from_iter<I: IntoIterator<Item = Wish>>(wishes: I) -> Self {
        let mut all = Self::default();
        wishes.into_iter().for_each(|wish| *all.of(wish) += 1);
        all
    }
}

/// What the lane wants of a named service, and of all others, as a service sees it that has only the header `gray-lane`. The baseline
/// itself does not travel: what the lane wants of most services is as good a guess, and where that is wrong, the tag is fixed.
fn wish_on_the_wire(first: Option<Selector<&str>>, rest: Option<Selector<&str>>, prod: &str, gray: &str) -> Wish {
    if first == Some(Selector::version(prod)) { Wish::Baseline } else { wish(first, rest, gray) }
}

fn rest_on_the_wire(rest: Option<Selector<&str>>, gray: &str) -> Wish {
    if rest == Some(Selector::version(gray)) { Wish::Gray } else { Wish::Baseline }
}

fn wanted(choice: &Choice) -> Option<Selector<&str>> {
    choice.iter().next()
}

impl Lane {
    /// The lane, with a tag that is worked out for each service: by what the lane wants of the others, other than `baseline`, the
    /// lane of ordinary requests. `prod` and `gray` are the versions that the tags mean.
    #[must_use]
    pub fn tagged_by_others(mut self, baseline: &Lane, prod: &str, gray: &str) -> Self {
        let wish_of = |choice: &Choice, ordinary: &Choice| wish(wanted(choice), wanted(ordinary), gray);
        let services: Box<[_]> =
            self.services().map(|(service, choice)| wish_of(choice, baseline.choice(service))).collect();
        let others = wish_of(&self.others, &baseline.others);
        let versions = Some([prod.into(), gray.into()]);
        self.tagging = Tagging { kind: Kind::by_others(services, others), versions }.into();
        self
    }

    /// The lane, with the same tag for every service, whatever it wants of them.
    #[must_use]
    pub fn tagged(mut self, tag: GrayStatus, prod: &str, gray: &str) -> Self {
        self.tagging = Tagging { kind: Kind::Fixed(tag), versions: Some([prod.into(), gray.into()]) }.into();
        self
    }

    /// What the header `gray` says to this service.
    pub fn told(&self, service: &str) -> Told {
        match &self.tagging.kind {
            Kind::Fixed(tag) => Told { tag: *tag, is_whole: true },
            Kind::ByOthers { services, all, others } => {
                let place = self.services.binary_search_by(|(name, _)| (**name).cmp(service)).ok();
                all.without(place.and_then(|place| services.get(place).copied())).told(*others)
            }
        }
    }

    /// How the tag comes about when the open values are filled in.
    pub(super) fn refilled(&self, services: &[(Box<str>, Choice)], others: &Choice) -> Arc<Tagging> {
        let (Kind::ByOthers { services: wishes, others: rest, .. }, Some([_, gray])) =
            (&self.tagging.kind, &self.tagging.versions)
        else {
            return Arc::clone(&self.tagging);
        };
        // What the baseline wants has no open values.
        let again = |before: Wish, choice: &Choice| match before {
            Wish::Baseline => Wish::Baseline,
            Wish::Gray | Wish::Other => wish(wanted(choice), None, gray),
        };
        let wishes = wishes.iter().zip(services).map(|(before, (_, choice))| again(*before, choice));
        let kind = Kind::by_others(wishes.collect(), again(*rest, others));
        Tagging { kind, versions: self.tagging.versions.clone() }.into()
    }

    /// Whether services that work the tag out from the header `gray-lane` come to another one somewhere.
    pub(super) fn is_told_otherwise(&self) -> bool {
        let Some([prod, gray]) = &self.tagging.versions else { return false };
        let rest = wanted(&self.others);
        let seen = |choice: &Choice| wish_on_the_wire(wanted(choice), rest, prod, gray);
        let all: Others = self.services().map(|(_, choice)| seen(choice)).collect();
        let differs =
            |service: &str, own| all.without(own).told(rest_on_the_wire(rest, gray)).tag != self.told(service).tag;
        differs("", None) || self.services().any(|(service, choice)| differs(service, Some(seen(choice))))
    }
}

impl LaneTag {
    /// What the header `gray` is to say to this service, worked out by a caller that has only the lane: `prod` and `gray` are
    /// the versions that the tags mean. `None` when the tag that came with the lane holds for all services.
    pub fn told(&self, service: &str, prod: &str, gray: &str) -> Option<GrayStatus> {
        if self.is_tag_fixed() {
            return None;
        }
        let rest = self.choice("*").next();
        let others = self.firsts().filter(|(name, _)| *name != service && *name != "*");
        let others: Others = others.map(|(_, first)| wish_on_the_wire(first, rest, prod, gray)).collect();
        Some(others.told(rest_on_the_wire(rest, gray)).tag)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PROD: GrayStatus = GrayStatus::Prod;
    const GRAY: GrayStatus = GrayStatus::Gray;

    fn lane(text: &str, baseline: &Lane) -> Lane {
        let mut others = None;
        let mut services = Vec::new();
        for (service, choice) in text.split(',').filter_map(|part| part.split_once('=')) {
            let choice: Choice = choice.parse().expect("a choice");
            match service {
                "*" => others = Some(choice),
                service => services.push((service.into(), choice)),
            }
        }
        Lane::new("two", GRAY, services, others.expect("others")).tagged_by_others(baseline, "V1", "V2")
    }

    fn ordinary() -> Lane {
        Lane::new("baseline", PROD, [], Choice::version("V1"))
    }

    #[test]
    fn the_tag_is_right_for_the_others() {
        // (lane; the service that is told; what; is it all of the lane)
        for (text, service, tag, is_whole) in [
            // The others stay on the baseline.
            ("order=version:V2|version:V1,*=version:V1", "order", PROD, true),
            ("order=version:V2|version:V1,*=version:V1", "user", GRAY, false),
            ("order=version:V2,user=version:V2,*=version:V1", "order", GRAY, false),
            ("order=version:V2,user=version:V2,pay=version:V1,*=version:V1", "order", GRAY, false),
            ("order=version:V2,user=version:V3,*=version:V1", "order", PROD, false),
            ("order=version:V2,user=version:V3,*=version:V1", "user", GRAY, false),
            ("order=version:V3,*=version:V1", "order", PROD, true),
            // The whole chain.
            ("*=version:V2|version:V1", "order", GRAY, true),
            ("user=version:V2,*=version:V2", "order", GRAY, true),
            ("pay=version:V1,*=version:V2", "order", GRAY, false),
            ("pay=version:V1,*=version:V2", "pay", GRAY, true),
            ("*=gray-tag:red", "order", PROD, false),
            ("*=ns/version:V2", "order", PROD, false),
            ("*=version:V1", "order", PROD, true),
        ] {
            let told = lane(text, &ordinary()).told(service);
            assert_eq!(told, Told { tag, is_whole }, "{text} at {service}");
        }
        let fixed = lane("*=gray-tag:red", &ordinary()).tagged(GRAY, "V1", "V2");
        assert_eq!(fixed.told("order"), Told { tag: GRAY, is_whole: true });
    }

    #[test]
    fn what_is_filled_in_counts() {
        let open = Choice::new(Selector::open("version"), []);
        let template = Lane::new("exact", GRAY, [], open).tagged_by_others(&ordinary(), "V1", "V2");
        assert_eq!(template.told("order"), Told { tag: PROD, is_whole: false });
        assert_eq!(template.filled("V2").told("order"), Told { tag: GRAY, is_whole: true });
        assert_eq!(template.filled("V3").told("order"), Told { tag: PROD, is_whole: false });
    }

    proptest! {
        /// A service that has only the header says what the gateway says, or what the gateway told it.
        #[test]
        fn services_tell_the_same(
            named in prop::collection::vec((0_usize..4, 0_usize..5), 0..4), rest in 0_usize..5, base in 0_usize..5, fixed in any::<bool>(),
        ) {
            const CHOICES: [&str; 5] = ["version:V1", "version:V2", "version:V3", "!gray-tag", "ns/*"];
            let choice = |place: usize| -> Choice { CHOICES[place].parse().expect("a choice") };
            let baseline = Lane::new("baseline", PROD, [("a".into(), choice(base))], Choice::version("V1"));
            let services = named.into_iter().map(|(name, place)| (["a", "b", "c", "d"][name].into(), choice(place)));
            let lane = Lane::new("two", GRAY, services, choice(rest));
            let lane = if fixed { lane.tagged(GRAY, "V1", "V2") } else { lane.tagged_by_others(&baseline, "V1", "V2") };
            let header = LaneTag::from_header(&lane.encode("r", true).expect("short")).expect("a lane");
            prop_assert!(header.traced());
            for service in ["a", "b", "c", "d", "e"] {
                if let Some(tag) = header.told(service, "V1", "V2") {
                    prop_assert_eq!(tag, lane.told(service).tag, "{} at {}", header.as_header().to_str().expect("text"), service);
                }
            }
        }
    }
}
