//! Failed calls, and which of them Nacos refused.
//!
//! A refusal has many shapes. The authorization of Nacos answers with the type that was asked for, filled with nothing but a
//! code and a message: where the SDK needs a field of it (`serviceNames`, `serviceInfo`), it fails before it looks at the
//! code, and the message is lost. So an answer that cannot be read counts as a refusal too: the worst that comes of it is a
//! login too many, and those are rationed.

use gray_registry::CallError;
use nacos_sdk::api::error::Error;

/// What the messages of refusals say, in lower case, by Nacos 2.x and 3.x, gRPC and HTTP.
const REFUSALS: [&str; 14] = [
    "code: 401",
    "code: 403",
    "error_code=401",
    "error_code=403",
    "token invalid",
    "token expired",
    "invalid signature",
    "unknown user",
    "user not found",
    "authorization failed",
    "access denied",
    "forbidden",
    "unauthenticated",
    "permission denied",
];

/// What the SDK says, in short.
pub(crate) fn call_error(error: &Error) -> CallError {
    let text = terse(&error.to_string()).to_owned();
    match error {
        Error::Serialization(_) => CallError::Refused(format!(
            "the answer lacks what was asked for, as when Nacos refuses a token, or the user has no right to it ({text})"
        )),
        error if is_refusal(error) => CallError::Refused(text),
        _ => CallError::Failed(text),
    }
}

fn is_refusal(error: &Error) -> bool {
    let says_so = |text: &str| {
        let text = text.to_lowercase();
        REFUSALS.iter().any(|sign| text.contains(sign))
    };
    match error {
        Error::ErrResponse(_, result, code, message) => {
            [*result, *code].iter().any(|code| matches!(code, 401 | 403)) || message.as_deref().is_some_and(says_so)
        }
        Error::ErrResult(text) => says_so(text),
        Error::TonicGrpcStatus(_) | Error::GrpcBufferRequest(_) => says_so(&error.to_string()),
        _ => false,
    }
}

/// What counts in an error of the SDK: without the names of its layers in front, and without their debug output behind.
fn terse(error: &str) -> &str {
    let end = error.find(", source:").unwrap_or(error.len());
    let mut text = &error[..end];
    for layer in ["grpc request error: ", "tonic grpc status error: ", "get result failed: "] {
        text = text.strip_prefix(layer).unwrap_or(text);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_short() {
        let long = "grpc request error: tonic grpc status error: code: 'unavailable', message: \"tcp connect error\", \
                    source: tonic::transport::Error(Transport, ConnectError(..))";
        assert_eq!(terse(long), "code: 'unavailable', message: \"tcp connect error\"");
        assert_eq!(terse("no available server"), "no available server");
    }

    #[test]
    fn refusals_in_every_shape() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct List {
            #[serde(rename = "serviceNames")]
            _names: Vec<String>,
        }
        let response = |result, code, message: &str| Error::ErrResponse(None, result, code, Some(message.to_owned()));
        let handled = |what: &str, code: u16, message: &str| {
            Error::ErrResult(format!("handle {what} failed: result_code=500, error_code={code}, message={message}"))
        };
        let unread = |json: &str| Error::Serialization(serde_json::from_str::<List>(json).expect_err(json));
        let refused = [
            // Where the SDK needs a field of the answer.
            unread(r#"{"resultCode":500,"errorCode":403,"message":"Code: 401, Message: Invalid signature."}"#),
            unread(r#"{"resultCode":500,"errorCode":403,"message":"authorization failed!","serviceNames":null}"#),
            // Where it does not.
            handled("register_ephemeral_instance", 403, "Code: 403, Message: authorization failed!."),
            handled("get_config", 403, "token invalid!"),
            handled("get_config", 401, ""),
            handled(
                "get_config",
                500,
                "Code: 401, Message: User not found! Please check user exist or password is right!.",
            ),
            handled("get_config", 500, "Invalid signature"),
            handled("get_config", 500, "unknown user!"),
            // An answer of the general type.
            response(500, 403, ""),
            response(403, 0, ""),
            response(500, 500, "Code: 401, Message: token expired!."),
            response(500, 30_000, "Access denied"),
            Error::ErrResponse(None, 500, 401, None),
            // What stands in front of Nacos.
            Error::GrpcBufferRequest("status: PermissionDenied, message: \"403 Forbidden\"".into()),
        ];
        for error in &refused {
            assert!(matches!(call_error(error), CallError::Refused(_)), "{error}");
        }
        let others = [
            handled("register_ephemeral_instance", 500, "server is starting"),
            // Addresses and ports are full of such numbers.
            handled("register_ephemeral_instance", 400, "no leader for 10.4.0.3:4403"),
            response(500, 301, "Connection is unregistered."),
            response(503, 503, "Tps Flow restricted"),
            Error::ErrResponse(None, 500, 500, None),
            Error::ErrResult("the connection is not connected".into()),
            Error::ClientUnhealthy("401 connections were tried".into()),
            Error::GrpcBufferRequest("tcp connect error: 127.0.0.1:40303".into()),
            Error::NoAvailableServer,
        ];
        for error in &others {
            assert!(matches!(call_error(error), CallError::Failed(_)), "{error}");
        }
    }
}
