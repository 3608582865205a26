//! Documents made of predicates, filters and odd requests, the same ones every time.

mod filters;
mod predicates;
mod requests;

use crate::{
    document::{Document, Route},
    release::Release,
};

/// How many documents.
const DOCUMENTS: usize = 36;
/// Routes in each.
const ROUTES: usize = 14;
/// Requests to each route.
const REQUESTS: usize = 8;

/// Numbers that look random, the same ones every time (SplitMix64).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below a number.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap_or(1)).unwrap_or_default()
    }

    fn percent(&mut self, share: usize) -> bool {
        self.below(100) < share
    }

    /// One of them; there is at least one.
    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

/// A name of a predicate or filter with its arguments, since a release.
type Piece = (Release, &'static str);

/// A YAML text in single quotes.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn list(texts: &[String]) -> String {
    texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", ")
}

/// Every document believes its clients, as behind a proxy; but for each sixth, where they are strangers.
fn head(number: usize, draw: &mut Draw) -> String {
    let mut head = Document::begun(number % 6 != 5);
    if draw.percent(25) {
        let defaults: Vec<_> = (0..=draw.below(2)).map(|_| filters::default(draw).to_owned()).collect();
        head.push_str(&format!("spring.cloud.gateway.server.webflux.default-filters: [{}]\n", list(&defaults)));
    }
    head
}

fn route(number: usize, draw: &mut Draw) -> Route {
    let prefix = format!("/r{number}");
    let (path, variables) = predicates::path(draw);
    let mut predicates = vec![path.replace("/r", &prefix)];
    let mut since = Release::V31;
    if draw.percent(30) {
        let (from, more) = predicates::other(draw);
        since = since.max(from);
        predicates.push(more.to_owned());
    }
    let count = [0, 1, 1, 1, 1, 2, 2, 3, 3, 4][draw.below(10)];
    let mut texts = Vec::new();
    for _ in 0..count {
        let (from, text) = filters::any(variables, draw);
        since = since.max(from);
        texts.push(text.replace("/r", &prefix));
    }
    let uri = draw.pick(&["lb://app", "lb://app", "http://BACKEND", "http://BACKEND/ignored"]);
    let text =
        format!("{{id: r{number}, uri: '{uri}', predicates: [{}], filters: [{}]}}", list(&predicates), list(&texts));
    let requests = (0..REQUESTS).map(|_| requests::any(&prefix, draw)).collect();
    Route { since, text, requests }
}

/// The generated documents.
pub(crate) fn documents() -> Vec<Document> {
    let document = |number: usize| {
        let mut draw = Draw(u64::try_from(number).unwrap_or_default() + 1);
        Document {
            name: format!("generated-{number:02}"),
            since: Release::V31,
            head: head(number, &mut draw),
            routes: (0..ROUTES).map(|at| route(at, &mut draw)).collect(),
            requests: Vec::new(),
        }
    };
    (0..DOCUMENTS).map(document).collect()
}

#[cfg(test)]
mod tests {
    use super::documents;

    #[test]
    fn they_are_many_and_the_same_every_time() {
        let made = documents();
        let text = |documents: &[crate::document::Document]| {
            documents
                .iter()
                .flat_map(|document| &document.routes)
                .map(|route| format!("{} {:?}", route.text, route.requests))
                .collect::<Vec<_>>()
        };
        let texts = text(&made);
        assert_eq!(texts, text(&documents()));
        let count: usize = made.iter().flat_map(|document| &document.routes).map(|route| route.requests.len()).sum();
        assert!(count >= 3000, "{count}");
        let combined =
            texts.iter().filter(|text| text.split("filters: ").nth(1).is_some_and(|list| list.contains("', '")));
        assert!(combined.count() * 3 >= texts.len(), "too few with two filters or more");
    }
}
