//! Path patterns (Spring's PathPattern) and host patterns (Spring's AntPathMatcher with dots), compiled.

use std::{borrow::Cow, collections::HashSet};

use gray_document::Budget;
use gray_expression::{JavaForm, StepLimit, Steps};

use super::{
    index::Key,
    release::Dialect,
    segment::{Segment, is_name, split},
    text::{decoded, quoted},
    variables::Variables,
};

/// What a segment of a path or a label of a host takes, its place in the index included.
const SEGMENT: usize = 256;

/// `/order-api/{id}/**`: matched segment by segment against the decoded path.
#[derive(Clone, Debug)]
pub(super) struct PathPattern {
    text: Box<str>,
    segments: Box<[Segment]>,
    /// Ends in `/**` or `/{*rest}`: anything may follow, also nothing.
    rest: bool,
    /// The name in `/{*rest}`.
    rest_name: Option<Box<str>>,
}

impl PathPattern {
    /// Compiles a pattern; the error says what is wrong with it.
    pub(super) fn parse(text: &str, budget: &Budget) -> Result<Self, String> {
        let shown = quoted(text);
        let Some(relative) = text.strip_prefix('/') else {
            return Err(format!("path pattern {shown} must begin with `/`"));
        };
        let mut parts = split(relative, '/').map_err(|reason| format!("path pattern {shown}: {reason}"))?;
        let rest_name = parts.last().and_then(|last| capture_rest(last)).map(Box::from);
        let rest = rest_name.is_some() || parts.last() == Some(&"**");
        if rest {
            parts.pop();
        }
        budget.spend("path patterns", SEGMENT * parts.len()).map_err(|error| error.to_string())?;
        let segment = |part: &&str| {
            if *part == "**" || part.contains("{*") {
                return Err("`**` and `{*name}` must be the last segment".to_owned());
            }
            Segment::parse(part, JavaForm::Whole, budget)
        };
        let segments: Result<_, _> = parts.iter().map(segment).collect();
        let segments = segments.map_err(|reason| format!("path pattern {shown}: {reason}"))?;
        let pattern = Self { text: text.into(), segments, rest, rest_name };
        let mut known = HashSet::new();
        if let Some(twice) = pattern.names().find(|name| !known.insert(*name)) {
            return Err(format!("path pattern {shown}: two variables are called {}", quoted(twice)));
        }
        Ok(pattern)
    }

    /// Its segments, up to `/**`: what a route can be found by.
    pub(super) fn keys(&self) -> impl Iterator<Item = Key<'_>> {
        self.segments.iter().map(|segment| segment.literal().map_or(Key::Any, |text| Key::Literal(text.into())))
    }

    /// The leading segments that are plain text.
    pub(super) fn literals(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().map_while(Segment::literal)
    }

    /// Whether the pattern covers the whole path; one slash more at the end may be allowed.
    pub(super) fn matches(&self, path: &str, trailing_slash: bool, steps: &Steps) -> Result<bool, StepLimit> {
        let mut parts = segments(path);
        let mut last_is_empty = false;
        for (position, segment) in self.segments.iter().enumerate() {
            let Some(value) = parts.next() else { return Ok(false) };
            // Spring's oddity: a `*` at the very end also takes nothing (`/a/*` takes `/a/`), elsewhere it does not.
            let at_end = !self.rest && position + 1 == self.segments.len();
            let empty_is_fine = !matches!(segment, Segment::Any) || at_end;
            if (value.is_empty() && !empty_is_fine) || !segment.matches(&value, steps)? {
                return Ok(false);
            }
            last_is_empty = value.is_empty();
        }
        if self.rest {
            return Ok(path.starts_with('/'));
        }
        Ok(match (parts.next(), parts.next()) {
            (None, _) => true,
            // A segment of nothing but parameters (`/a/;v=1`) is one, as for Spring.
            (Some(slash), None) => slash.is_empty() && path.ends_with('/') && trailing_slash && !last_is_empty,
            _ => false,
        })
    }
}

impl PathPattern {
    /// The names of its variables.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let rest = self.rest_name.as_deref();
        self.segments.iter().flat_map(Segment::names).map(|name| &**name).chain(rest)
    }

    /// Gets ready to tell the values of its variables.
    pub(super) fn prepare(&mut self, budget: &Budget) -> Result<(), String> {
        self.segments.iter_mut().try_for_each(|segment| segment.prepare(budget))
    }

    /// Tells the values that its variables have in a path that it [matches](Self::matches): decoded, as in Spring.
    pub(super) fn capture<'n>(
        &'n self,
        path: &str,
        variables: &mut Variables<'n>,
        steps: &Steps,
    ) -> Result<(), StepLimit> {
        let mut parts = segments(path);
        for segment in &self.segments {
            let Some(value) = parts.next() else { return Ok(()) };
            segment.capture(&value, steps, |name, value| variables.add(name, value))?;
        }
        if let Some(name) = &self.rest_name {
            variables.add_rest(name, parts);
        }
        Ok(())
    }

    /// Whether every path of the other pattern begins with the plain text that this one consists of before its `/**`.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.rest && self.literals().count() == self.segments.len() && {
            let mut others = other.literals();
            self.literals().all(|one| others.next() == Some(one))
        }
    }

    /// As written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The segments of a path that the pattern covers.
    fn sample(&self) -> Vec<String> {
        let sample = |segment: &Segment| match segment {
            Segment::Literal(text) => text.to_string(),
            _ => "x".to_owned(),
        };
        let mut segments: Vec<_> = self.segments.iter().map(sample).collect();
        if self.rest {
            segments.push("x".to_owned());
        }
        segments
    }

    /// A path that the pattern covers, with each run of its slashes as `%2f`.
    pub(super) fn with_encoded_slashes(&self) -> impl Iterator<Item = String> {
        // Runs in longer paths are too many, and none has them.
        const LONGEST: usize = 16;
        let segments = self.sample();
        let count = if segments.len() > LONGEST { 0 } else { segments.len() };
        let runs = (0..count).flat_map(move |from| (from + 2..=count).map(move |to| (from, to)));
        runs.map(move |(from, to)| {
            let run = segments[from..to].join("%2f");
            let parts = segments[..from].iter().chain([&run]).chain(&segments[to..]);
            parts.fold(String::new(), |path, part| path + "/" + part)
        })
    }

    /// Ambiguous spellings of a path that the pattern covers.
    pub(super) fn spellings(&self) -> impl Iterator<Item = String> {
        let segments = self.sample();
        let count = segments.len();
        (1..=count).flat_map(move |place| {
            let (before, after) = (segments[..place].join("/"), segments[place..].join("/"));
            // The slash before the last segments, twice or encoded; with nothing behind it is the first one.
            match after.is_empty() {
                true => [format!("//{before}"), format!("/;/{before}")],
                false => [format!("/{before}//{after}"), format!("/{before}%2f{after}")],
            }
        })
    }

    /// Whether every segment of a path that it covers with `%2f` in it is a single one of the pattern's, so that the
    /// slash is a character of a variable.
    pub(super) fn holds_slashes(&self, path: &str) -> bool {
        let relative = path.strip_prefix('/').unwrap_or(path);
        relative.split('/').skip(self.segments.len()).all(|segment| !segment.to_ascii_lowercase().contains("%2f"))
    }
}

/// The segments of a path as patterns see them: decoded, without `;parameters`. A path that does not begin with a
/// slash has none.
pub(super) fn segments(path: &str) -> impl Iterator<Item = Cow<'_, str>> + Clone {
    let relative = path.strip_prefix('/');
    relative.into_iter().flat_map(|relative| relative.split('/')).map(|raw| {
        // One look at most segments.
        if !raw.bytes().any(|byte| matches!(byte, b';' | b'%')) {
            return Cow::Borrowed(raw);
        }
        let plain = raw.find(';').and_then(|end| raw.get(..end)).unwrap_or(raw);
        decoded(plain, false)
    })
}

/// The labels of a host from the right, in lower case.
pub(super) fn labels(host: &str) -> impl Iterator<Item = Cow<'_, str>> + Clone {
    let labels = host.rsplit('.').filter(|label| !label.is_empty());
    labels.map(|label| match label.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Cow::Owned(label.to_ascii_lowercase()),
        false => Cow::Borrowed(label),
    })
}

fn capture_rest(part: &str) -> Option<&str> {
    part.strip_prefix("{*").and_then(|rest| rest.strip_suffix('}')).filter(|name| is_name(name))
}

/// `**.example.org`, `{sub}.example.org`: matched label by label.
#[derive(Clone, Debug)]
pub(super) struct HostPattern {
    labels: Box<[Label]>,
    /// Whether upper and lower case are told apart.
    is_exact: bool,
    /// Whether it asks for a port where others are compared without one.
    has_port: bool,
}

#[derive(Clone, Debug)]
enum Label {
    /// `**`: any number of labels, also none.
    AnyDepth,
    One(Segment),
}

impl HostPattern {
    /// Compiles a pattern; the error says what is wrong with it.
    pub(super) fn parse(text: &str, dialect: Dialect, budget: &Budget) -> Result<Self, String> {
        let problem = |reason: &str| format!("host pattern {}: {reason}", quoted(text));
        if text.starts_with('.') {
            return Err(problem("no host begins with a dot; write `**.` for every subdomain"));
        }
        let parts = split(text, '.').map_err(|reason| problem(&reason))?;
        budget.spend("host patterns", SEGMENT * parts.len()).map_err(|error| error.to_string())?;
        let outside = |part: &&str| part.split('{').next().unwrap_or_default().to_owned();
        let plain: String = parts.iter().map(outside).collect();
        let has_port = plain.contains("]:") || (plain.contains(':') && !plain.starts_with('['));
        if has_port && !dialect.with_port && dialect.exact_host {
            return Err(problem(
                "a port cannot be asked for, as the host is compared without it (include-port: false)",
            ));
        }
        if plain.contains(|c: char| c.is_whitespace() || c == '/') {
            return Err(problem("a host has no space and no slash"));
        }
        let form = if dialect.exact_host { JavaForm::Whole } else { JavaForm::WholeAnyCase };
        let label = |part: &&str| match *part {
            "**" => Ok(Label::AnyDepth),
            part => Segment::parse(part, form, budget).map(Label::One),
        };
        let labels: Result<_, _> = parts.iter().filter(|part| !part.is_empty()).map(label).collect();
        let has_port = has_port && !dialect.with_port;
        labels.map(|labels| Self { labels, is_exact: dialect.exact_host, has_port }).map_err(|reason| problem(&reason))
    }

    /// Its labels from the right, up to `**`: what a route can be found by.
    pub(super) fn keys(&self) -> impl Iterator<Item = Key<'_>> {
        self.labels.iter().rev().enumerate().map_while(|(place, label)| match label {
            Label::AnyDepth => None,
            Label::One(segment) => Some(segment.literal().map_or(Key::Any, |text| {
                // Hosts are looked up without their port.
                let name = if self.has_port && place == 0 { text.split(':').next().unwrap_or(text) } else { text };
                Key::Literal(name.to_ascii_lowercase().into())
            })),
        })
    }

    /// Whether it asks for a port where others are compared without one.
    pub(super) fn has_port(&self) -> bool {
        self.has_port
    }

    /// The names of its variables.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let labels =
            self.labels.iter().filter_map(|label| if let Label::One(segment) = label { Some(segment) } else { None });
        labels.flat_map(Segment::names).map(|name| &**name)
    }

    /// Gets ready to tell the values of its variables.
    pub(super) fn prepare(&mut self, budget: &Budget) -> Result<(), String> {
        self.labels.iter_mut().try_for_each(|label| match label {
            Label::AnyDepth => Ok(()),
            Label::One(segment) => segment.prepare(budget),
        })
    }

    /// Tells the values that its variables have in a host that it [matches](Self::matches).
    pub(super) fn capture<'n>(
        &'n self,
        host: &str,
        variables: &mut Variables<'n>,
        steps: &Steps,
    ) -> Result<(), StepLimit> {
        let mut labels = vec![""; self.labels.len()];
        self.walk(host, steps, |place, label| labels[place] = label)?;
        for (label, value) in self.labels.iter().zip(labels) {
            if let Label::One(segment) = label {
                segment.capture(value, steps, |name, value| variables.add(name, value))?;
            }
        }
        Ok(())
    }

    /// Whether the pattern covers the whole host.
    pub(super) fn matches(&self, host: &str, steps: &Steps) -> Result<bool, StepLimit> {
        self.walk(host, steps, |_, _| {})
    }

    /// The same; `visit` is told which label each part takes, the last time it is told so.
    fn walk<'h>(&self, host: &'h str, steps: &Steps, mut visit: impl FnMut(usize, &'h str)) -> Result<bool, StepLimit> {
        let mut labels = host.split('.').filter(|label| !label.is_empty());
        let mut at = 0;
        // Where the last `**` stands, and the labels it has not swallowed yet.
        let mut retry = None;
        loop {
            let fits = match self.labels.get(at) {
                Some(Label::AnyDepth) => {
                    retry = Some((at + 1, labels.clone()));
                    true
                }
                Some(Label::One(segment)) => match labels.next() {
                    Some(label) => {
                        visit(at, label);
                        match self.is_exact {
                            true => segment.matches(label, steps)?,
                            false => segment.matches_fold(label, steps)?,
                        }
                    }
                    None => false,
                },
                None if labels.next().is_none() => return Ok(true),
                None => false,
            };
            if fits {
                at += 1;
                continue;
            }
            // The last `**` swallows one label more.
            let Some((after, left)) = &mut retry else { return Ok(false) };
            if left.next().is_none() {
                return Ok(false);
            }
            at = *after;
            labels = left.clone();
        }
    }
}
