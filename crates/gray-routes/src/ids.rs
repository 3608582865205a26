//! Names of routes.

use std::collections::HashMap;

use gray_document::{Origin, Section};

use crate::{read::Draft, text::quoted};

/// Every name stands for one route.
#[derive(Default)]
pub(super) struct Ids(HashMap<String, Taken>);

struct Taken {
    first: Origin,
    /// Routes of this name so far.
    count: usize,
}

impl Ids {
    /// The name of a route that is called so.
    pub(super) fn take(&mut self, id: &str, section: &Section<'_>) -> String {
        let new = || Taken { first: section.origin(), count: 1 };
        let Some(taken) = self.0.get_mut(id) else {
            self.0.insert(id.to_owned(), new());
            return id.to_owned();
        };
        let (first, mut count) = (taken.first.clone(), taken.count);
        let name = loop {
            count += 1;
            let name = format!("{id}-{count}");
            if !self.0.contains_key(&name) {
                break name;
            }
        };
        self.0.entry(id.to_owned()).and_modify(|taken| taken.count = count);
        self.0.insert(name.clone(), new());
        let (id, shown) = (quoted(id), quoted(&name));
        section.warn(
            "id",
            format!(
                "another route is called {id} already, at {first}: this one is {shown} in logs and metrics; give it a name of \
                 its own"
            ),
        );
        name
    }

    /// `route-<n>` by position, unless another route has that name.
    pub(super) fn name_the_nameless(&self, drafts: &mut [Draft]) {
        let mut free = (1_usize..).map(|n| format!("route-{n}")).filter(|name| !self.0.contains_key(name));
        for draft in drafts {
            if draft.route.id.is_empty() {
                draft.route.id = free.next().unwrap_or_default().into();
            }
        }
    }
}
