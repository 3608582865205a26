//! Documents with the requests that are sent under them.

use std::{collections::BTreeSet, net::SocketAddr};

use anyhow::{Context as _, Result};

use crate::{backend::BACKEND, release::Release, request::Request};

/// A line of a written document that is a request.
const REQUEST: &str = "#> ";
/// A line that names the oldest release that has what is in it.
const SINCE: &str = "#since ";
/// A line that says that clients are not believed; all others are, as behind a proxy.
const STRANGERS: &str = "#strangers";
/// Routes behind this line, each in a line of its own, can be taken out one by one; requests that follow one are its own.
const ROUTES: &str = "spring.cloud.gateway.server.webflux.routes:\n";
/// A line that says that ours is not told for which release the routes were written.
const LENIENT: &str = "#lenient";
/// What every document begins with: one service.
const PRELUDE: &str = "\
kerwin.tool.gray.load: false
spring.cloud.discovery.client.simple.instances.app: [{uri: 'http://BACKEND'}]
";
const TRUSTING: &str = "\
kerwin.tool.gray.gateway.trustedHops: [127.0.0.1]
spring.cloud.gateway.server.webflux.trusted-proxies: '127\\.0\\.0\\.1'
";

/// A document, and what is asked under it.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its name.
    pub name: String,
    /// The oldest release that has what is in it.
    pub since: Release,
    /// What stands in it besides `routes`.
    pub head: String,
    /// Routes that can be taken out one by one.
    pub routes: Vec<Route>,
    /// Requests to no route in particular.
    pub requests: Vec<Request>,
}

/// One entry of the list of routes.
#[derive(Clone, Debug)]
pub struct Route {
    /// The oldest release that has what is in it.
    pub since: Release,
    /// A line of YAML.
    pub text: String,
    /// Requests to it.
    pub requests: Vec<Request>,
}

/// A request with its place.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The document.
    pub document: &'a Document,
    /// The number of its route, if it is one's.
    pub route: Option<usize>,
    /// The request.
    pub request: &'a Request,
}

impl Document {
    /// Reads a written document: YAML, with requests in comments (`#> GET /a`).
    ///
    /// # Errors
    /// Not a request.
    pub fn written(name: &str, text: &str) -> Result<Self> {
        let since = text.lines().find_map(|line| line.strip_prefix(SINCE));
        let since = since.map_or(Ok(Release::V31), |name| name.trim().parse()).map_err(anyhow::Error::msg)?;
        let (head, routes) = match text.split_once(ROUTES) {
            Some((head, routes)) if routes.starts_with("- ") => (head, routes),
            _ => (text, ""),
        };
        let mut document = Self {
            name: name.to_owned(),
            since,
            head: Self::begun(!text.contains(STRANGERS)) + head,
            routes: Vec::new(),
            requests: Vec::new(),
        };
        for line in head.lines().chain(routes.lines()) {
            if let Some(text) = line.strip_prefix("- ")
                && !routes.is_empty()
            {
                document.routes.push(Route { since, text: text.to_owned(), requests: Vec::new() });
            } else if let Some(request) = line.strip_prefix(REQUEST) {
                let requests = document.routes.last_mut().map_or(&mut document.requests, |route| &mut route.requests);
                requests.push(request.parse().with_context(|| format!("{name}: {line}"))?);
            }
        }
        Ok(document)
    }

    /// What every document begins with.
    pub(crate) fn begun(is_trusting: bool) -> String {
        PRELUDE.to_owned() + if is_trusting { TRUSTING } else { "" }
    }

    /// The routes that a release has.
    fn in_release(&self, release: Release) -> impl Iterator<Item = (usize, &Route)> {
        self.routes.iter().enumerate().filter(move |(_, route)| route.since <= release)
    }

    /// The text for a release, some routes taken out.
    pub fn text(&self, release: Release, without: &BTreeSet<usize>, backend: SocketAddr) -> String {
        let mut text = self.head.clone();
        if !text.contains(LENIENT) {
            text = format!("gray.spring.release: '{release}'\n{text}");
        }
        if !self.routes.is_empty() {
            text.push_str(ROUTES);
        }
        for (_, route) in self.in_release(release).filter(|(at, _)| !without.contains(at)) {
            text.push_str("- ");
            text.push_str(&route.text);
            text.push('\n');
        }
        release.keyed(&text).replace(BACKEND, &backend.to_string())
    }

    /// The text with one route alone.
    pub fn alone(&self, release: Release, at: usize, backend: SocketAddr) -> String {
        self.text(release, &(0..self.routes.len()).filter(|other| *other != at).collect(), backend)
    }

    /// The numbers of the routes that a release has.
    pub fn routes_of(&self, release: Release) -> Vec<usize> {
        self.in_release(release).map(|(at, _)| at).collect()
    }

    /// What is asked in a release, in its order.
    pub fn cases(&self, release: Release) -> impl Iterator<Item = Case<'_>> {
        let own = self.requests.iter().map(|request| Case { document: self, route: None, request });
        let routes = self.in_release(release).flat_map(move |(at, route)| {
            route.requests.iter().map(move |request| Case { document: self, route: Some(at), request })
        });
        own.chain(routes)
    }
}

impl Case<'_> {
    /// The YAML of its route, or of the whole document.
    pub fn yaml(&self) -> &str {
        self.route.and_then(|at| self.document.routes.get(at)).map_or(&self.document.head, |route| &route.text)
    }
}
