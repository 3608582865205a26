//! Keys beside the routes that can only be meant for something that decides where requests go and who may pass: they must
//! not be without effect.

use gray_document::Section;

use super::{definition::relaxed, text::suggestion};

const KNOWN: [&str; 8] =
    ["routes", "default-filters", "httpclient", "loadbalancer", "globalcors", "discovery", "filter", "set-status"];

/// Notes an error at each of them.
pub(super) fn refuse(sections: &[&Section<'_>]) {
    let is_known = |name: &str| KNOWN.iter().any(|known| relaxed(known) == relaxed(name));
    let keys = sections.iter().flat_map(|section| section.peek_keys().into_iter().map(move |key| (section, key)));
    for (section, (key, item)) in keys {
        let refuse = |message: String| {
            item.error(message);
            // Said once is enough: it counts as known from here on.
            section.has(&key);
        };
        let hint = if is_known(&key) { String::new() } else { suggestion(&key, KNOWN) };
        if !hint.is_empty() {
            refuse(format!("unknown key{hint}"));
        }
    }
}
