//! What comes from the registry, and from the disk on which it was kept: lists as Nacos and Eureka write them, snapshots whole and with
//! a good checksum. Nothing may panic, and what was taken in can be used.

#![no_main]

use gray_core::{Instance, InstanceSet};
use gray_nacos::instances_from_json;
use gray_registry::disk::{Content, decode_body, decode_file};
use libfuzzer_sys::fuzz_target;

fn use_it(list: &[Instance]) {
    let set = InstanceSet::new(list, None);
    assert!(set.all().len() <= list.len());
    for instance in list {
        assert!(!instance.authority().is_empty());
        instance.version();
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let kept = match kind % 4 {
        0 => {
            if let Some(list) = instances_from_json(rest) {
                use_it(&list);
            }
            return;
        }
        3 => {
            if let Some(list) = gray_eureka::instances_from_json(rest) {
                use_it(&list);
            }
            return;
        }
        1 => decode_file(rest),
        _ => decode_body(rest),
    };
    if let Ok(kept) = kept
        && let Content::Instances { list, .. } = kept.content
    {
        use_it(&list);
    }
});
