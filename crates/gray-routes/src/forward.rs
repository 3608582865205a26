//! `uri: forward:/path`: the request goes on to the route that takes this path, with all that this one asks for.

use crate::{
    Filters, Spelling, Target, Upstream, check_path,
    filter::{Filter, path_template},
    text::quoted,
};

/// What stands behind `forward:`, with slashes for a host that is not there or without.
pub(super) fn written(uri: &str) -> Option<&str> {
    let scheme = uri.get(.."forward:".len()).filter(|scheme| scheme.eq_ignore_ascii_case("forward:"))?;
    let rest = uri.get(scheme.len()..)?;
    Some(rest.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(rest))
}

/// A path of this gateway, which is read in one way only.
pub(super) fn path(path: &str) -> Result<Box<str>, String> {
    let template = path_template(path)?;
    if template.names().next().is_some() {
        return Err(format!("{}: nothing is filled in where a request goes to", quoted(path)));
    }
    match check_path(path)? {
        Spelling::Plain => Ok(path.into()),
        Spelling::Ambiguous => {
            Err("servers read this path in different ways; write it without `//`, `%` and `;`".into())
        }
    }
}

/// Whether a filter does on a route that forwards what it does anywhere.
pub(super) fn may_stand(filter: &Filter) -> bool {
    match filter {
        Filter::Nothing | Filter::Refused | Filter::Token(_) | Filter::MaxField(_) => true,
        Filter::Several(filters) => filters.iter().all(may_stand),
        _ => false,
    }
}

/// Checks what a route that forwards has besides; `fit` says of each of its own filters whether it may stand there. Those that
/// all routes have are applied by the route that is forwarded to.
///
/// # Errors
/// With the number of the filter that may not, if it is one.
pub(super) fn check(
    (target, lanes): (&Target, &[(Box<str>, Target)]),
    filters: &Filters,
    fit: &[bool],
) -> Result<(), (Option<usize>, String)> {
    let forwards = |target: &Target| matches!(target.upstream, Upstream::Forward(_));
    if lanes.iter().any(|(_, target)| forwards(target)) {
        return Err((None, "a lane cannot be forwarded by itself: write `forward:` as the `uri` of a route".into()));
    }
    // A redirection answers whatever the target is.
    if !forwards(target) || filters.redirect.is_some() {
        return Ok(());
    }
    if !lanes.is_empty() {
        return Err((None, "a route that forwards has no lanes: write them on the route that it forwards to".into()));
    }
    match fit.iter().position(|fits| !fits) {
        None => Ok(()),
        at => Err((
            at,
            "on a route that forwards (`uri: forward:/...`) stand JsonWebToken, RequestHeaderSize and RedirectTo alone: write \
             this filter on the route that it forwards to"
                .into(),
        )),
    }
}
