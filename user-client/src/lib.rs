//! Typed client of user-app. It knows the wire contract (routes, envelope, codes), not user-app's crate.
//!
//! Every call goes to an instance that fits the tag of the request being served; see [`gray_common::client`].

mod error;

pub use error::UserClientError;

use gray_common::{
    api::{ApiResult, Code},
    client::GrayClient,
};
use http::StatusCode;

/// Name under which user-app registers.
pub const SERVICE: &str = "user-app";

/// Calls user-app. Cheap to clone.
#[derive(Clone, Debug)]
pub struct UserClient {
    client: GrayClient,
}

impl UserClient {
    /// A client on top of a gray-aware HTTP client of [`SERVICE`].
    pub fn new(client: GrayClient) -> Self {
        Self { client }
    }

    /// The description of one user, such as `用户1号 - port=7201 - mateVersion=V1`.
    ///
    /// # Errors
    /// [`UserClientError::NotFound`] when there is no such user, else whatever kept user-app from answering.
    pub async fn user(&self, user_no: &str) -> Result<String, UserClientError> {
        if matches!(user_no, "" | "." | "..") {
            // No path names such a user, whichever way it is encoded.
            return Err(UserClientError::NotFound { user_no: user_no.to_owned() });
        }
        let response = self.client.get(format!("/user/{}", path_segment(user_no))).send().await?;
        let status = response.status();
        if status != StatusCode::OK && status != StatusCode::NOT_FOUND {
            return Err(UserClientError::Status { status });
        }
        let answer: ApiResult<String> = match response.json().await {
            Ok(answer) => answer,
            // A 404 without our envelope is not "no such user" but the 404 of another program.
            Err(_) if status == StatusCode::NOT_FOUND => return Err(UserClientError::Status { status }),
            Err(error) => return Err(error.into()),
        };
        if answer.code == Code::UserNotFound.number() {
            return Err(UserClientError::NotFound { user_no: user_no.to_owned() });
        }
        match (answer.success && status == StatusCode::OK, answer.data) {
            (true, Some(user)) => Ok(user),
            _ => Err(UserClientError::Answer { code: answer.code, msg: answer.msg }),
        }
    }
}

/// Percent-encodes everything but RFC 3986's unreserved characters, so that no user number can change the path.
fn path_segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests;
