//! What carries a release context: the headers of a request, or of a message.
//!
//! Two traits, as OpenTelemetry has them for its propagators. They are implemented on newtypes that borrow, so that every
//! crate can do it for types of others, and without a copy of what is read.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};

/// What headers can be read from. What they mean is not decided here: see [`ReleaseContext::extract`].
///
/// [`ReleaseContext::extract`]: crate::ReleaseContext::extract
pub trait Extract {
    /// All values of a name, in the order in which they were sent.
    ///
    /// Names are compared without regard to case, as in HTTP, whatever the carrier does otherwise: two spellings are one
    /// name sent twice. An implementation hands out every value, whatever its bytes and however many there are.
    fn values<'c>(&'c self, name: &HeaderName) -> impl Iterator<Item = Value<'c>>;

    /// Whether there is a value of this name.
    fn contains(&self, name: &HeaderName) -> bool {
        self.values(name).next().is_some()
    }
}

/// What headers can be written into.
pub trait Inject: Extract {
    /// Gives a name this value, and no other.
    fn set(&mut self, name: &HeaderName, value: &HeaderValue);

    /// Gives a name one value more, behind those that it has.
    fn add(&mut self, name: &HeaderName, value: &HeaderValue);

    /// Removes all values of a name.
    fn remove(&mut self, name: &HeaderName);
}

/// One value, as it lies in its carrier.
#[derive(Clone, Copy, Debug)]
pub struct Value<'c>(Kind<'c>);

#[derive(Clone, Copy, Debug)]
enum Kind<'c> {
    Header(&'c HeaderValue),
    Bytes(&'c [u8]),
}

impl<'c> Value<'c> {
    /// Its bytes. Of carriers other than HTTP they may be any.
    pub fn as_bytes(self) -> &'c [u8] {
        match self.0 {
            Kind::Header(value) => value.as_bytes(),
            Kind::Bytes(bytes) => bytes,
        }
    }

    /// As the value of an HTTP header, which may lie in the carrier already; `None` when it has bytes that no header can
    /// carry (RFC 9110, 5.5: control characters). Copies what does not lie there.
    pub fn to_header(self) -> Option<Cow<'c, HeaderValue>> {
        match self.0 {
            Kind::Header(value) => Some(Cow::Borrowed(value)),
            Kind::Bytes(bytes) => HeaderValue::from_bytes(bytes).ok().map(Cow::Owned),
        }
    }
}

impl<'c> From<&'c HeaderValue> for Value<'c> {
    fn from(value: &'c HeaderValue) -> Self {
        Self(Kind::Header(value))
    }
}

impl<'c> From<&'c [u8]> for Value<'c> {
    fn from(bytes: &'c [u8]) -> Self {
        Self(Kind::Bytes(bytes))
    }
}

/// The headers of an HTTP request, to be read.
#[derive(Clone, Copy, Debug)]
pub struct HttpHeaders<'h>(pub &'h HeaderMap);

impl Extract for HttpHeaders<'_> {
    fn values<'c>(&'c self, name: &HeaderName) -> impl Iterator<Item = Value<'c>> {
        self.0.get_all(name).iter().map(Value::from)
    }
}

/// The headers of an HTTP request, to be written.
#[derive(Debug)]
pub struct HttpHeadersMut<'h>(pub &'h mut HeaderMap);

impl Extract for HttpHeadersMut<'_> {
    fn values<'c>(&'c self, name: &HeaderName) -> impl Iterator<Item = Value<'c>> {
        self.0.get_all(name).iter().map(Value::from)
    }
}

impl Inject for HttpHeadersMut<'_> {
    fn set(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.0.insert(name, value.clone());
    }

    fn add(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.0.append(name, value.clone());
    }

    fn remove(&mut self, name: &HeaderName) {
        self.0.remove(name);
    }
}
