//! The metadata of a call as a carrier.

use gray_context::{Extract, Inject, Value};
use http::{HeaderMap, HeaderName, HeaderValue};
use tonic::metadata::MetadataMap;

/// The metadata of a call, to be read.
#[derive(Clone, Copy, Debug)]
pub struct Metadata<'m>(pub &'m MetadataMap);

impl Extract for Metadata<'_> {
    fn values<'c>(&'c self, name: &HeaderName) -> impl Iterator<Item = Value<'c>> {
        of(self.0, name)
    }
}

/// The metadata of a call, to be written.
#[derive(Debug)]
pub struct MetadataMut<'m>(pub &'m mut MetadataMap);

impl Extract for MetadataMut<'_> {
    fn values<'c>(&'c self, name: &HeaderName) -> impl Iterator<Item = Value<'c>> {
        of(self.0, name)
    }
}

impl MetadataMut<'_> {
    fn headers(&mut self) -> &mut HeaderMap {
        self.0.as_mut()
    }
}

impl Inject for MetadataMut<'_> {
    fn set(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.headers().insert(name, value.clone());
    }

    fn add(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.headers().append(name, value.clone());
    }

    fn remove(&mut self, name: &HeaderName) {
        self.headers().remove(name);
    }
}

fn of<'m>(metadata: &'m MetadataMap, name: &HeaderName) -> impl Iterator<Item = Value<'m>> + use<'m> {
    let headers: &HeaderMap = metadata.as_ref();
    headers.get_all(name).iter().map(Value::from)
}
