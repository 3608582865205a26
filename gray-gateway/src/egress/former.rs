//! Addresses that the registry listed a moment ago: balancers of services go on naming them. Spring Cloud LoadBalancer keeps a list
//! for 35 s, others ask again after minutes.

use std::{net::IpAddr, sync::Arc};

use gray_core::{Instance, InstanceSet};

use super::host::Host;

/// How long they are known, in milliseconds.
const KNOWN_FOR: u64 = 5 * 60_000;
/// The oldest are forgotten beyond.
const MAX: usize = 10_000;

/// Services with their instances, in any order.
pub(super) type Listed = Vec<(Box<str>, Arc<InstanceSet>)>;

/// Former addresses, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Former(Vec<(u64, Box<str>, (IpAddr, u16))>);

impl Former {
    /// Notes what `before` has and `after` has not.
    pub(super) fn note(&mut self, before: &Listed, after: &Listed, now: u64) {
        self.0.retain(|(since, ..)| now.saturating_sub(*since) < KNOWN_FOR);
        for (service, old) in before {
            let new = after.iter().find(|(name, _)| name == service).map(|(_, set)| set);
            if new.is_some_and(|new| Arc::ptr_eq(new, old)) {
                continue;
            }
            let now_listed = new.map_or(&[][..], |new| new.known());
            for instance in old.known() {
                let stays = now_listed.iter().any(|other| other.host == instance.host && other.port == instance.port);
                if let Some(address) = address(instance).filter(|_| !stays) {
                    self.0.retain(|(_, name, known)| (name, *known) != (service, address));
                    self.0.push((now, service.clone(), address));
                }
            }
        }
        self.0.drain(..self.0.len().saturating_sub(MAX));
    }

    /// Services and the addresses that they had.
    pub(super) fn addresses(&self) -> impl Iterator<Item = (&str, (IpAddr, u16))> {
        self.0.iter().map(|(_, service, address)| (&**service, *address))
    }
}

fn address(instance: &Instance) -> Option<(IpAddr, u16)> {
    match Host::of(&instance.host) {
        Host::Address(ip) => Some((ip, instance.port)),
        Host::Name(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(ports: &[u16]) -> Listed {
        let instances: Vec<_> = ports.iter().map(|port| Instance::new("10.0.0.1", *port)).collect();
        vec![("a".into(), Arc::new(InstanceSet::new(&instances, None)))]
    }

    #[test]
    fn what_is_not_listed_any_more_is_known_for_a_while() {
        let mut former = Former::default();
        let ports = |former: &Former| former.addresses().map(|(_, (_, port))| port).collect::<Vec<_>>();
        let [both, one, none] = [listed(&[1, 2]), listed(&[2]), Listed::new()];
        former.note(&both, &both, 0);
        assert_eq!(ports(&former), [0; 0]);
        former.note(&both, &one, 1000);
        assert_eq!(ports(&former), [1]);
        former.note(&one, &none, 2000);
        assert_eq!(ports(&former), [1, 2]);
        // One that comes and goes again is known once, from then on.
        former.note(&both, &one, 3000);
        assert_eq!(ports(&former), [2, 1]);
        former.note(&none, &none, 2000 + KNOWN_FOR);
        assert_eq!(ports(&former), [1]);
    }
}
