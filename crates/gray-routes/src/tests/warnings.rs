//! What is taken and has no effect, or another than one would think, is said as well.

use super::errors::check;

#[test]
fn warnings() {
    for (text, line, parts) in [
        (
            "spring.cloud.gateway:\n  httpclient: { unheard-of: 1 }\n",
            2,
            &["spring.cloud.gateway.httpclient.unheard-of", "no effect"][..],
        ),
        ("spring.cloud.gateway:\n  requestLog: true\n", 2, &["not a setting of Spring Cloud Gateway"]),
        (
            "spring.cloud.gateway.routes:\n  - { id: a, uri: 'lb://a', predicates: ['Path=,'] }\n",
            2,
            &["predicates[0]", "never taken"],
        ),
        ("spring.cloud.gateway.server:\n  webmvc: { routes: [] }\n", 2, &["gateway.server.webmvc"]),
        ("spring.cloud.gateway:\n  routes: []\n", 2, &["empty: every request is answered 404"]),
        (
            "spring.cloud.gateway.routes:\n- { id: a, predicates: [Path=/**],\n    uri: 'lb://s:80' }",
            3,
            &["the port 80 counts for nothing"],
        ),
        ("spring.cloud.gateway:\n  default-filters:\n  - SaveSession\n", 3, &["no sessions"]),
        (
            "spring.cloud.gateway:\n  default-filters:\n  - 'RequestRateLimiter=1, 0'\n",
            3,
            &["0 answers every request 429"],
        ),
        ("spring.cloud.gateway:\n  default-filters:\n  - TokenRelay=x\n", 3, &["no login at this gateway"]),
        (
            "spring.cloud.gateway:\n  default-filters:\n  - 'MapRequestHeader=X-Real-IP, X'\n",
            3,
            &["`x-real-ip` is what the client wrote"],
        ),
        (
            "spring.cloud.gateway.routes:\n- { id: a, predicates: [Path=/**],\n    uri: 'http://x/y?z' }",
            3,
            &["`/y?z` is dropped"],
        ),
        (
            "spring.cloud.gateway.routes:\n- { id: a, uri: 'lb://s', predicates: [Path=/**],\n    metadata: { owner: me } }",
            3,
            &["metadata.owner", "makes nothing of this"],
        ),
        (
            "spring.cloud.gateway.routes:\n- { id: a, uri: 'lb://s', predicates: [Path=/**],\n    metadata: { max-age: 1 } }",
            3,
            &["metadata.max-age", "has no effect", "file:///srv/web/v1"],
        ),
        (
            "spring.cloud.gateway.routes:\n- { id: a, uri: 'http://s', predicates: [Path=/**],\n    metadata: { space: '@A' } }",
            3,
            &["metadata.space", "has no effect", "lb://pay-app"],
        ),
        (
            "spring.cloud.gateway.routes:\n- { id: a, uri: 'lb://s', predicates: ['Weight=g,0'] }",
            1,
            &["weight group `g`", "none of them is ever taken"],
        ),
    ] {
        check(text, "Warning", line, parts);
    }
}
