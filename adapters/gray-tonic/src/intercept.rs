//! Client side: from the task onto the metadata of a call.

use gray_context::{Inject as _, ReleaseContext};
use gray_core::tag::CALLER_HEADER;
use http::HeaderValue;
use tonic::{Request, Status, service::Interceptor};

use crate::MetadataMut;

/// Writes the release context of the running task onto every call, and takes off what was there under its names.
#[derive(Clone, Debug, Default)]
pub struct GrayInterceptor {
    caller: Option<HeaderValue>,
}

impl GrayInterceptor {
    /// The interceptor.
    pub const fn new() -> Self {
        Self { caller: None }
    }

    /// Names the calling service and its version as well (`gray-caller: order-app@V1`), by which the called one counts its calls.
    #[must_use]
    pub fn caller(self, service: &str, version: Option<&str>) -> Self {
        let version = version.map(|version| format!("@{version}")).unwrap_or_default();
        // A name that no header can carry says nothing.
        Self { caller: HeaderValue::try_from(format!("{service}{version}")).ok() }
    }
}

impl Interceptor for GrayInterceptor {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let mut metadata = MetadataMut(request.metadata_mut());
        ReleaseContext::current().inject(&mut metadata);
        match &self.caller {
            Some(caller) => metadata.set(&CALLER_HEADER, caller),
            None => metadata.remove(&CALLER_HEADER),
        }
        Ok(request)
    }
}
