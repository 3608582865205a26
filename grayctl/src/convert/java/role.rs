//! What classes are to a gateway, and what to do about each.

use std::collections::{HashMap, HashSet};

use super::{Class, hint};

/// What a class does in a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::convert) enum Role {
    Security,
    GlobalFilter,
    FilterFactory,
    GatewayFilter,
    WebFilter,
    Routes,
    DynamicRoutes,
    Predicate,
    KeyResolver,
    RateLimiter,
    Cors,
    Fallback,
    Balancer,
    Errors,
    Feign,
}

/// Something of Java, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::convert) struct Found {
    pub(in crate::convert) role: Role,
    /// The class, with `.method` where that makes it.
    pub(in crate::convert) class: String,
    /// The bean's name, or that of the filter that a factory makes.
    pub(in crate::convert) name: String,
    pub(in crate::convert) file: String,
    pub(in crate::convert) line: u32,
    /// What a key resolver counts by.
    pub(in crate::convert) hint: Option<String>,
}

/// Types, what extends or makes them.
const TYPES: [(&str, Role); 32] = [
    ("GlobalFilter", Role::GlobalFilter),
    ("AbstractGatewayFilterFactory", Role::FilterFactory),
    ("AbstractNameValueGatewayFilterFactory", Role::FilterFactory),
    ("AbstractChangeRequestUriGatewayFilterFactory", Role::FilterFactory),
    ("GatewayFilterFactory", Role::FilterFactory),
    ("GatewayFilter", Role::GatewayFilter),
    ("WebFilter", Role::WebFilter),
    ("SecurityWebFilterChain", Role::Security),
    ("SecurityFilterChain", Role::Security),
    ("WebSecurityConfigurerAdapter", Role::Security),
    ("ReactiveAuthorizationManager", Role::Security),
    ("ReactiveAuthenticationManager", Role::Security),
    ("RouteLocator", Role::Routes),
    ("RouterFunction", Role::Routes),
    ("RouteDefinitionLocator", Role::DynamicRoutes),
    ("RouteDefinitionRepository", Role::DynamicRoutes),
    ("AbstractRoutePredicateFactory", Role::Predicate),
    ("RoutePredicateFactory", Role::Predicate),
    ("KeyResolver", Role::KeyResolver),
    ("AbstractRateLimiter", Role::RateLimiter),
    ("RateLimiter", Role::RateLimiter),
    ("CorsWebFilter", Role::Cors),
    ("CorsConfigurationSource", Role::Cors),
    ("IRule", Role::Balancer),
    ("AbstractLoadBalancerRule", Role::Balancer),
    ("PredicateBasedRule", Role::Balancer),
    ("ReactorServiceInstanceLoadBalancer", Role::Balancer),
    ("ReactorLoadBalancer", Role::Balancer),
    ("ServiceInstanceListSupplier", Role::Balancer),
    ("ErrorWebExceptionHandler", Role::Errors),
    ("DefaultErrorWebExceptionHandler", Role::Errors),
    ("WebExceptionHandler", Role::Errors),
];

const ANNOTATIONS: [(&str, Role); 8] = [
    ("EnableWebFluxSecurity", Role::Security),
    ("EnableWebSecurity", Role::Security),
    ("EnableResourceServer", Role::Security),
    ("RibbonClient", Role::Balancer),
    ("RibbonClients", Role::Balancer),
    ("LoadBalancerClient", Role::Balancer),
    ("LoadBalancerClients", Role::Balancer),
    ("FeignClient", Role::Feign),
];

/// Types that tell something where a class only uses them.
pub(super) const TELLING: [&str; 2] = ["RouteDefinitionWriter", "InMemoryRouteDefinitionRepository"];

/// How far up superclasses of the system's own are followed.
const MAX_STEPS: usize = 16;

impl Role {
    /// As a heading.
    pub(in crate::convert) const fn title(self) -> &'static str {
        match self {
            Self::Security => "Spring Security",
            Self::GlobalFilter => "GlobalFilter",
            Self::FilterFactory => "GatewayFilterFactory",
            Self::GatewayFilter => "GatewayFilter",
            Self::WebFilter => "WebFilter",
            Self::Routes => "RouteLocator",
            Self::DynamicRoutes => "routes at run time",
            Self::Predicate => "RoutePredicateFactory",
            Self::KeyResolver => "KeyResolver",
            Self::RateLimiter => "RateLimiter",
            Self::Cors => "CORS",
            Self::Fallback => "fallback",
            Self::Balancer => "load balancer",
            Self::Errors => "error handler",
            Self::Feign => "Feign client",
        }
    }

    /// What to do.
    pub(in crate::convert) const fn advice(self) -> &'static str {
        match self {
            Self::Security => {
                "decides who may do what, and nothing here does it: check tokens with the filter JsonWebToken, put a login in \
                 front, or let the services check; then acknowledge it (gray.spring.acknowledge)"
            }
            Self::GlobalFilter | Self::WebFilter => {
                "runs on every request: a token check becomes JsonWebToken and a header AddRequestHeader, both in default-filters; \
                 a log becomes --access-log; for everything else let the services do it"
            }
            Self::FilterFactory => "makes a filter: choose what stands for it under gray.spring.filters",
            Self::GatewayFilter => {
                "runs on the routes that Java code gives it to: write it as a filter of these routes"
            }
            Self::Routes => "holds routes that no document shows: write them as spring.cloud.gateway.routes",
            Self::DynamicRoutes => {
                "reads or writes routes at run time: where they are a list in a document, name it with --routes-document"
            }
            Self::Predicate => {
                "makes a predicate, and routes that use it are refused: write it with Header, Query, Cookie or Path"
            }
            Self::KeyResolver => "says what RequestRateLimiter counts by: name it under gray.spring.keyResolvers",
            Self::RateLimiter => "limits rates by code of its own: use RequestRateLimiter",
            Self::Cors => "allows pages of other origins: write it as spring.cloud.gateway.globalcors",
            Self::Fallback => {
                "answers for a route that fails: its answer is under gray.spring.fallbacks; compare status and body"
            }
            Self::Balancer => {
                "picks instances: round robin, random, least requests and hashing are settings here, versions and zones are lanes"
            }
            Self::Errors => {
                "writes the body of errors: errors of this gateway have a small JSON body of its own, with the same status codes"
            }
            Self::Feign => "calls a service from inside the gateway; nothing here does: see which filter needs it",
        }
    }

    /// Whether traffic differs until it is dealt with. The others are worth knowing.
    pub(in crate::convert) const fn is_open(self) -> bool {
        !matches!(
            self,
            Self::Balancer | Self::Errors | Self::Feign | Self::Fallback | Self::KeyResolver | Self::FilterFactory
        )
    }
}

/// Everything that is of interest in these classes, the most important first.
pub(in crate::convert) fn roles(classes: &[Class]) -> Vec<Found> {
    let by_name: HashMap<_, _> = classes.iter().map(|class| (class.simple_name(), class)).collect();
    let mut found = Vec::new();
    for class in classes {
        let mut seen = HashSet::new();
        let mut note = |role, name: String, line, hint, suffix: &str| {
            if seen.insert((role, name.clone())) {
                let (class, file) = (format!("{}{suffix}", class.name), class.file.clone());
                found.push(Found { role, class, name, file, line, hint });
            }
        };
        if let Some(role) = by_supertype(class, &by_name) {
            let name = if role == Role::FilterFactory { filter_name(class.simple_name()) } else { class.bean() };
            note(role, name, class.line, class.hint.clone(), "");
        }
        for annotation in &class.annotations {
            if let Some((_, role)) = ANNOTATIONS.iter().find(|(name, _)| *name == annotation.name) {
                note(*role, class.bean(), class.line, None, "");
            }
        }
        if !class.mentions.is_empty() {
            note(Role::DynamicRoutes, class.bean(), class.line, None, "");
        }
        for method in &class.methods {
            let Some(bean) = method.bean() else { continue };
            let role = of_type(&method.returns)
                .or_else(|| by_name.get(&*method.returns).and_then(|class| by_supertype(class, &by_name)));
            if let Some(role) = role {
                let hint = method.hint.clone().filter(|_| role == Role::KeyResolver);
                note(role, bean.to_owned(), method.line, hint, &format!(".{}", method.name));
            }
        }
    }
    found.sort_by(|a, b| (a.role, &a.class).cmp(&(b.role, &b.class)));
    found
}

fn of_type(name: &str) -> Option<Role> {
    TYPES.iter().find(|(known, _)| *known == name).map(|(_, role)| *role)
}

/// By what it extends, and what that extends.
fn by_supertype(class: &Class, classes: &HashMap<&str, &Class>) -> Option<Role> {
    let (mut next, mut steps) = (vec![class], 0);
    while let Some(class) = next.pop() {
        steps += 1;
        if let Some(role) = class.supertypes.iter().find_map(|name| of_type(name)) {
            return Some(role);
        }
        if steps < MAX_STEPS {
            next.extend(class.supertypes.iter().filter_map(|name| classes.get(&**name)));
        }
    }
    None
}

/// `Auth` of `AuthGatewayFilterFactory`, as Spring names filters.
fn filter_name(class: &str) -> String {
    class.strip_suffix("GatewayFilterFactory").filter(|name| !name.is_empty()).unwrap_or(class).to_owned()
}

/// What a key resolver most likely counts by, and how that is known.
pub(in crate::convert) fn guess(bean: &str, found: &[Found]) -> (String, String) {
    let java = found.iter().find(|one| one.role == Role::KeyResolver && one.name == bean);
    if let Some((one, hint)) = java.and_then(|one| Some((one, one.hint.clone()?))) {
        return (hint, format!("as {} reads", one.class));
    }
    match hint::of_name(bean) {
        Some(key) => (key.to_owned(), "guessed from its name".to_owned()),
        None => ("client".to_owned(), "a guess: nothing tells what it counts by".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::parse_source, *};

    fn found(text: &str) -> Vec<String> {
        let classes = parse_source(text, "A.java");
        roles(&classes).iter().map(|one| format!("{:?} {} {}:{}", one.role, one.name, one.class, one.line)).collect()
    }

    #[test]
    fn classes_are_found_by_what_they_extend_make_and_carry() {
        for (text, expect) in [
            ("class A implements GlobalFilter {}", &["GlobalFilter a A:1"][..]),
            ("class B extends A {}\nabstract class A implements WebFilter {}", &["WebFilter a A:2", "WebFilter b B:1"]),
            ("class A extends B {} class B extends A {}", &[]),
            (
                "class AuthGatewayFilterFactory extends AbstractGatewayFilterFactory<C> {}",
                &["FilterFactory Auth AuthGatewayFilterFactory:1"],
            ),
            ("class C { @Bean GlobalFilter f() { return null; } }", &["GlobalFilter f C.f:1"]),
            (
                "class C { @Bean Own f() { return null; } } class Own implements KeyResolver {}",
                &["KeyResolver f C.f:1", "KeyResolver own Own:1"],
            ),
            (
                "@EnableWebFluxSecurity class S { @Bean SecurityWebFilterChain chain(X x) { return null; } }",
                &["Security s S:1", "Security chain S.chain:1"],
            ),
            ("@FeignClient(\"users\") interface U {}", &["Feign u U:1"]),
            ("class D { @Autowired RouteDefinitionWriter writer; }", &["DynamicRoutes d D:1"]),
            ("class P { int x; }", &[]),
        ] {
            assert_eq!(found(text), expect, "{text}");
        }
    }

    #[test]
    fn key_resolvers_are_guessed_from_code_then_name() {
        let text = "class C {
  @Bean KeyResolver userKeyResolver() { return e -> Mono.just(e.getRequest().getHeaders().getFirst(\"X-User\")); } }";
        let found = roles(&parse_source(text, "C.java"));
        for (bean, expect) in [
            ("userKeyResolver", ("header.X-User", "as C.userKeyResolver reads")),
            ("ipKeyResolver", ("client", "guessed from its name")),
            ("other", ("client", "a guess: nothing tells what it counts by")),
        ] {
            let (key, why) = guess(bean, &found);
            assert_eq!((&*key, &*why), expect, "{bean}");
        }
    }
}
