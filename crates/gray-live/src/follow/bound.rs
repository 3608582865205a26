//! What a list of instances may come to. Any client that can register decides its content.

use std::sync::Arc;

use gray_core::instance::Instance;

/// Most instances of one service.
pub const MAX_INSTANCES: usize = 5_000;
/// Longest metadata of an instance, names and values together, in bytes.
pub const MAX_METADATA: usize = 16 * 1024;
/// Longest host, as DNS has it.
const MAX_HOST: usize = 253;

/// Instances that are dropped from a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LeftOut {
    /// Their own metadata or host is too long.
    pub(super) too_large: usize,
    /// There are too many others before them.
    pub(super) too_many: usize,
}

/// Drops what is too large, then what is too many; the first ones stay.
pub(super) fn bound(instances: &mut Arc<[Instance]>) -> LeftOut {
    let fits = |instance: &Instance| {
        let metadata: usize = instance.metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
        metadata <= MAX_METADATA && instance.host.len() <= MAX_HOST
    };
    let small = instances.iter().filter(|instance| fits(instance)).count();
    let left_out = LeftOut { too_large: instances.len() - small, too_many: small.saturating_sub(MAX_INSTANCES) };
    if left_out != LeftOut::default() {
        *instances = instances.iter().filter(|instance| fits(instance)).take(MAX_INSTANCES).cloned().collect();
    }
    left_out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_bounded_and_the_rest_counted() {
        let instance = |number: usize| Instance::new(format!("10.0.{}.{}", number / 250, number % 250), 80);
        let mut list: Vec<_> = (0..MAX_INSTANCES + 7).map(instance).collect();
        list[3].metadata.insert("note", "x".repeat(MAX_METADATA));
        list[4].metadata.insert("note", "x".repeat(MAX_METADATA - 4));
        list[5].host = "h".repeat(MAX_HOST + 1);
        let kept = list[6].clone();
        let mut list: Arc<[Instance]> = list.into();
        assert_eq!(bound(&mut list), LeftOut { too_large: 2, too_many: 5 });
        assert_eq!((list.len(), &list[4]), (MAX_INSTANCES, &kept));
        assert_eq!(bound(&mut list), LeftOut::default());
    }
}
