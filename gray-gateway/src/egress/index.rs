//! Which service is meant by a host and a port: by the address of one of its instances, or by its name. Built whole by the
//! control loop, never changed afterwards.

use std::{borrow::Cow, collections::HashMap, net::IpAddr};

use foldhash::fast::RandomState;
use gray_core::Instance;

use super::host::Host;
use crate::{
    route::{Target, Upstream},
    scheme::Scheme,
};

/// What the registry knows of a host and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found<'i> {
    /// The address of an instance of this one service.
    Address(&'i Target),
    /// The name of this service.
    Name(&'i Target),
    /// An address at which several services are registered.
    Shared,
    /// A name that several services have: they differ in case.
    Ambiguous,
    /// Nothing.
    Unknown,
}

/// Whose an address or a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// That of the service at this place.
    One(u32),
    Several,
}

impl Owner {
    fn or(self, other: Self) -> Self {
        if self == other { self } else { Self::Several }
    }
}

/// What a name stands for.
#[derive(Debug, Default)]
struct Named {
    /// The service of this name.
    service: Option<Owner>,
    /// Ports of the instances of the service of this name.
    ports: Vec<u16>,
    /// Instances that are registered by this host name.
    instances: Vec<(u16, Owner)>,
}

/// Addresses and names of all services.
#[derive(Debug, Default)]
pub struct Index {
    services: Box<[Target]>,
    addresses: HashMap<(IpAddr, u16), Owner, RandomState>,
    /// Those that are not listed any more.
    former: HashMap<(IpAddr, u16), Owner, RandomState>,
    names: HashMap<Box<str>, Named, RandomState>,
}

impl Index {
    /// Of these services and their instances.
    pub fn new<'i>(services: impl IntoIterator<Item = (&'i str, &'i [Instance])>) -> Self {
        let mut index = Self::default();
        let mut targets = Vec::new();
        for (service, instances) in services {
            // More than four billion services are not followed.
            let Ok(place) = u32::try_from(targets.len()) else { break };
            index.add(service, instances, Owner::One(place));
            targets.push(Target { scheme: Scheme::Http, upstream: Upstream::Service(service.into()) });
        }
        index.services = targets.into();
        index
    }

    /// With addresses that these services had: each means the service as long as no other has it.
    #[must_use]
    pub(super) fn with_former<'i>(mut self, former: impl IntoIterator<Item = (&'i str, (IpAddr, u16))>) -> Self {
        let named = self.services.iter().zip(0..).filter_map(|(target, place)| match &target.upstream {
            Upstream::Service(service) => Some((service.name(), Owner::One(place))),
            _ => None,
        });
        let owners: HashMap<&str, Owner, RandomState> = named.collect();
        for (service, address) in former {
            if let Some(owner) = owners.get(service) {
                let known = self.former.entry(address).or_insert(*owner);
                *known = known.or(*owner);
            }
        }
        self
    }

    fn add(&mut self, service: &str, instances: &[Instance], owner: Owner) {
        for instance in instances {
            match Host::of(&instance.host) {
                Host::Address(ip) => {
                    let known = self.addresses.entry((ip, instance.port)).or_insert(owner);
                    *known = known.or(owner);
                }
                Host::Name(name) => {
                    let named = self.names.entry(name.into()).or_default();
                    match named.instances.iter_mut().find(|(port, _)| *port == instance.port) {
                        Some((_, known)) => *known = known.or(owner),
                        None => named.instances.push((instance.port, owner)),
                    }
                }
            }
        }
        // A service that is called like an address is not known by its name.
        let Host::Name(name) = Host::of(service) else { return };
        let named = self.names.entry(name.into()).or_default();
        named.service = Some(named.service.map_or(owner, |known| known.or(owner)));
        for instance in instances {
            if !named.ports.contains(&instance.port) {
                named.ports.push(instance.port);
            }
        }
    }

    /// What the registry knows of a host and a port; `None`: none is written.
    ///
    /// A name that is a service's is that service, whatever instances are registered by that host name: nobody can take its
    /// requests over by registering there. With a port it is meant as well if one of its instances has that port.
    pub(crate) fn find(&self, host: &Host<'_>, port: Option<u16>, scheme: Scheme) -> Found<'_> {
        let at = port.unwrap_or(scheme.default_port());
        let named = match host {
            Host::Address(ip) => {
                let owner = self.addresses.get(&(*ip, at)).or_else(|| self.former.get(&(*ip, at)));
                return owner.map_or(Found::Unknown, |owner| self.address(*owner));
            }
            Host::Name(name) => match self.names.get(&**name) {
                Some(named) => named,
                None => return Found::Unknown,
            },
        };
        if let Some(owner) = named.service.filter(|_| at == scheme.default_port() || named.ports.contains(&at)) {
            return self.target(owner).map_or(Found::Ambiguous, Found::Name);
        }
        let instance = named.instances.iter().find(|(known, _)| *known == at);
        instance.map_or(Found::Unknown, |(_, owner)| self.address(*owner))
    }

    fn address(&self, owner: Owner) -> Found<'_> {
        self.target(owner).map_or(Found::Shared, Found::Address)
    }

    fn target(&self, owner: Owner) -> Option<&Target> {
        match owner {
            Owner::One(place) => self.services.get(place as usize),
            Owner::Several => None,
        }
    }

    /// How many services and addresses it has.
    pub(crate) fn len(&self) -> (usize, usize) {
        let named: usize = self.names.values().map(|named| named.instances.len()).sum();
        (self.services.len(), self.addresses.len() + named)
    }
}

/// In lower case, without the dot at its end.
pub(super) fn plain(name: &str) -> Cow<'_, str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) { name.to_ascii_lowercase().into() } else { name.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        let at = |host: &str, port| Instance::new(host, port);
        let (orders, users) = (
            [at("10.0.0.1", 7100), at("10.0.0.2", 7100), at("10.0.0.1", 7100), at("::ffff:10.0.0.9", 7100)],
            [at("fd00::1", 7200), at("Users.Internal", 7200), at("10.0.0.3", 80), at("10.0.0.7", 7300)],
        );
        let squatter = [at("user-app", 80), at("user-app", 9999), at("10.0.0.7", 7300), at("shop.internal", 80)];
        let other = [at("shop.internal", 80), at("[fd00::2]", 7400)];
        let none: [Instance; 0] = [];
        Index::new([
            ("order-app", &orders[..]),
            ("user-app", &users[..]),
            ("squatter", &squatter[..]),
            ("Shop", &none[..]),
            ("shop", &other[..]),
            ("10.0.0.1", &none[..]),
        ])
    }

    #[test]
    fn an_address_or_a_name_is_a_service_or_none() {
        let index = index();
        for (host, port, expect) in [
            ("10.0.0.1", Some(7100), "address order-app"),
            ("10.0.0.2", Some(7100), "address order-app"),
            ("10.0.0.9", Some(7100), "address order-app"),
            ("[::ffff:10.0.0.9]", Some(7100), "address order-app"),
            ("[::ffff:a00:9]", Some(7100), "address order-app"),
            ("10.0.0.1", Some(7101), "unknown"),
            ("10.0.0.1", None, "unknown"),
            ("10.0.0.3", None, "address user-app"),
            ("10.0.0.3", Some(80), "address user-app"),
            ("10.0.0.7", Some(7300), "shared"),
            ("[fd00::1]", Some(7200), "address user-app"),
            ("[FD00:0:0:0:0:0:0:1]", Some(7200), "address user-app"),
            ("[fd00::2]", Some(7400), "address shop"),
            ("order-app", None, "name order-app"),
            ("ORDER-app.", None, "name order-app"),
            ("order-app", Some(80), "name order-app"),
            ("order-app", Some(7100), "name order-app"),
            ("order-app", Some(7200), "unknown"),
            ("order-app.svc", None, "unknown"),
            ("users.internal", Some(7200), "address user-app"),
            ("USERS.internal.", Some(7200), "address user-app"),
            ("users.internal", None, "unknown"),
            // Not the squatter's.
            ("user-app", None, "name user-app"),
            ("user-app", Some(80), "name user-app"),
            ("user-app", Some(9999), "address squatter"),
            ("shop.internal", None, "shared"),
            ("shop", None, "ambiguous"),
            ("", None, "unknown"),
        ] {
            let found = match index.find(&Host::of(host), port, Scheme::Http) {
                Found::Address(target) => format!("address {}", name(target)),
                Found::Name(target) => format!("name {}", name(target)),
                Found::Shared => "shared".into(),
                Found::Ambiguous => "ambiguous".into(),
                Found::Unknown => "unknown".into(),
            };
            assert_eq!(found, expect, "{host} {port:?}");
        }
        assert_eq!(index.len(), (6, 11));
        let https = |port| index.find(&Host::of("order-app"), port, Scheme::Https);
        assert!(matches!(https(None), Found::Name(_)) && https(Some(80)) == Found::Unknown);
    }

    #[test]
    fn a_former_address_means_its_service_unless_another_has_it() {
        let at = |text: &str, port| (text.parse().expect("an address"), port);
        let index = index().with_former([
            ("order-app", at("10.0.0.4", 7100)),
            ("order-app", at("10.0.0.3", 80)),
            ("order-app", at("10.0.0.5", 7100)),
            ("user-app", at("10.0.0.5", 7100)),
            ("gone-app", at("10.0.0.6", 7100)),
        ]);
        let find = |host, port| index.find(&Host::of(host), Some(port), Scheme::Http);
        for (host, port, expect) in [("10.0.0.4", 7100, "order-app"), ("10.0.0.3", 80, "user-app")] {
            assert!(matches!(find(host, port), Found::Address(target) if name(target) == expect), "{host}");
        }
        assert_eq!((find("10.0.0.5", 7100), find("10.0.0.6", 7100)), (Found::Shared, Found::Unknown));
        assert_eq!(index.len(), (6, 11), "those that are listed");
    }

    fn name(target: &Target) -> &str {
        match &target.upstream {
            Upstream::Service(service) => service.name(),
            _ => "",
        }
    }
}
