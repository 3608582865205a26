//! What a route's filters make of the head of an answer, and answers that a route gives itself.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use super::{content::Content, cross_origin::CrossOrigin, error::Failure};
use crate::{
    proxy::{exchange::Exchange, request::steps::Request},
    route::{EditError, Line, Upstream},
};

impl Request<'_> {
    /// Edits the fields of an answer that is not an instance's: a file, or the route's own. What pages of other origins are
    /// told (CORS) comes last, and takes the place of what else says so.
    ///
    /// # Errors
    /// The filters make them too long.
    pub(in crate::proxy) fn edit(
        &self,
        headers: &mut HeaderMap,
        cross_origin: Option<&CrossOrigin>,
    ) -> Result<(), EditError> {
        self.edit_own(headers)?;
        if let Some(cross_origin) = cross_origin {
            let replaced: Vec<_> =
                headers.keys().filter(|name| cross_origin.replaces(name.as_str())).cloned().collect();
            for name in replaced {
                headers.remove(name);
            }
            cross_origin.each(|name, value| {
                headers.append(name, value.clone());
            });
        }
        Ok(())
    }

    fn edit_own(&self, headers: &mut HeaderMap) -> Result<(), EditError> {
        for (name, value) in self.rated().into_iter().flat_map(|rated| rated.fields()) {
            headers.append(name, value.into());
        }
        if let Some(added) = self.route.filters.response.added() {
            added.for_each(|(name, value)| {
                headers.append(name, value.clone());
            });
            return Ok(());
        }
        let came = std::mem::take(headers);
        let mut lines: Vec<_> = came
            .iter()
            .map(|(name, value)| Line { name: name.as_str(), value: Cow::Borrowed(value.as_bytes()) })
            .collect();
        self.route.filters.response.apply(&mut lines, &self.remembered)?;
        for Line { name, value } in lines {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(&value)) {
                headers.append(name, value);
            }
        }
        Ok(())
    }
}

impl<'s> Exchange<'_, 's> {
    /// The answer that the route gives itself, without an instance; `None`: another one answers.
    pub(in crate::proxy) fn own_answer(&self) -> Option<Result<Response<Content>, Failure<'s>>> {
        let (request, route) = (&self.request, self.request.route);
        let internal = |_| Failure::Internal { route: &route.id };
        let mut response = Response::new(Content::Fixed(Bytes::new()));
        let mut status_of_documents = 200;
        if let Upstream::Forward(path) = &request.target.upstream {
            let Ok(answer) = self.snapshot.routes.fallback(path) else { return Some(Err(Failure::StepLimit)) };
            if let Some(answer) = answer {
                *response.body_mut() = Content::Fixed(Bytes::copy_from_slice(answer.body.as_bytes()));
                response.headers_mut().insert(header::CONTENT_TYPE, answer.content_type.clone());
                status_of_documents = answer.status.as_u16();
            }
        }
        let headers = response.headers_mut();
        let status = if let Some(redirect) = &route.filters.redirect {
            // Nothing but that: in Spring, it is sent before any other filter sees it.
            for (name, value) in request.rated().into_iter().flat_map(|rated| rated.fields()) {
                headers.append(name, value.into());
            }
            if let Some(cross_origin) = self.cross_origin {
                cross_origin.each(|name, value| {
                    headers.append(name, value.clone());
                });
            }
            for (name, value) in route.filters.response.secure() {
                if !headers.contains_key(name) {
                    headers.append(name, value.clone());
                }
            }
            headers.extend(request.remembered.location().map(|location| (header::LOCATION, location.clone())));
            redirect.status
        } else if matches!(request.target.upstream, Upstream::Nowhere | Upstream::Forward(_)) {
            let (status, _) = route.filters.status(status_of_documents);
            if let Err(failure) = request.edit(headers, self.cross_origin.as_ref()).map_err(internal) {
                return Some(Err(failure));
            }
            StatusCode::from_u16(status).unwrap_or(StatusCode::OK)
        } else {
            return None;
        };
        if let Some(cookie) = request.cookie(self.snapshot) {
            headers.append(header::SET_COOKIE, cookie);
        }
        *response.status_mut() = status;
        Some(Ok(response))
    }
}
