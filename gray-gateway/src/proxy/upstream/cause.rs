//! What a fallback is told of a failure: in the words of Spring, whose controllers ask for classes of exceptions.

use http::{HeaderValue, StatusCode};

use super::fault::Fault;
use crate::{header::write_field, proxy::response::error::Failure, route::FallbackHeaders};

/// Class and message of a failure, and the class of what it was caused by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Told {
    class: &'static str,
    cause: &'static str,
    message: String,
}

impl Told {
    /// Of a failure that a circuit breaker counts; `None` for any other. `status`: that of an answer that counts as one.
    pub(in crate::proxy) fn of(failure: &Failure<'_>, status: Option<u16>, breaker: &str) -> Option<Self> {
        let (class, cause, message) = match failure {
            Failure::CircuitOpen { .. } => {
                let class = "io.github.resilience4j.circuitbreaker.CallNotPermittedException";
                (class, class, format!("CircuitBreaker '{breaker}' is OPEN and does not permit further calls"))
            }
            Failure::NoFallback { .. } => {
                let class = "org.springframework.cloud.gateway.filter.factory.SpringCloudCircuitBreakerFilterFactory$\
                             CircuitBreakerStatusCodeException";
                (class, class, said(status?))
            }
            Failure::NoInstance { service, .. } => {
                let class = "org.springframework.cloud.gateway.support.NotFoundException";
                (class, class, format!("503 SERVICE_UNAVAILABLE \"Unable to find instance for {service}\""))
            }
            Failure::Instance { fault, .. } => {
                let (class, cause) = match fault {
                    Fault::Timeout => ["java.util.concurrent.TimeoutException"; 2].into(),
                    Fault::Connect => {
                        ("io.netty.channel.AbstractChannel$AnnotatedConnectException", "java.net.ConnectException")
                    }
                    Fault::Tls => ["javax.net.ssl.SSLHandshakeException"; 2].into(),
                    Fault::Broken | Fault::Truncated => ["reactor.netty.http.client.PrematureCloseException"; 2].into(),
                    Fault::Unusable => ["java.io.IOException"; 2].into(),
                };
                (class, cause, failure.message())
            }
            _ => return None,
        };
        Some(Self { class, cause, message })
    }

    /// Writes the fields of `FallbackHeaders`.
    pub(in crate::proxy) fn write(&self, headers: &FallbackHeaders, out: &mut Vec<u8>) {
        for (name, value) in headers.fields([self.class, &self.message], [self.cause, &self.message]) {
            // Names come from documents, where more may stand than in a field.
            if HeaderValue::from_str(value).is_ok() {
                write_field(out, name.as_str(), value.as_bytes());
            }
        }
    }
}

/// As Spring writes a status: `503 SERVICE_UNAVAILABLE`.
fn said(status: u16) -> String {
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default();
    format!("{status} {}", reason.to_uppercase().replace([' ', '-'], "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_as_classes_of_java() {
        let instance = |fault| Failure::Instance { service: "app", fault, reason: "" };
        for (failure, status, class, message) in [
            (Failure::CircuitOpen { route: "r" }, None, "CallNotPermittedException", "CircuitBreaker 'x' is OPEN"),
            (instance(Fault::Timeout), None, "java.util.concurrent.TimeoutException", "app did not answer in time"),
            (instance(Fault::Connect), None, "AnnotatedConnectException", "app could not be reached"),
            (
                Failure::NoFallback { route: "r" },
                Some(503),
                "CircuitBreakerStatusCodeException",
                "503 SERVICE_UNAVAILABLE",
            ),
            (
                Failure::NoInstance { service: "app", hidden: false },
                None,
                "NotFoundException",
                "Unable to find instance for app",
            ),
        ] {
            let told = Told::of(&failure, status, "x").expect("counted");
            assert!(told.class.ends_with(class) && told.message.contains(message), "{told:?}");
            assert!(!told.class.contains(' '), "{told:?}");
        }
        for failure in [Failure::Unauthenticated, Failure::UploadTimeout, Failure::OutOfDescriptors, Failure::NoRoute] {
            assert_eq!(Told::of(&failure, None, "x"), None, "{failure:?}");
        }
    }
}
