//! `SecureHeaders`, and `filter.secure-headers.*` for all of them. Mirrors `SecureHeadersGatewayFilterFactory` of 5.0.

use std::sync::Arc;

use gray_document::Section;
use http::{HeaderName, HeaderValue};

use crate::{
    definition::{Definition, Parameter, relaxed},
    text::{quoted, suggestion},
};

/// A field: its name, the setting, the argument of a route, the value.
type Known = (&'static str, &'static str, &'static str, &'static str);

const FIELDS: [Known; 9] = [
    ("x-xss-protection", "xss-protection-header", "xssProtectionHeaderValue", "1 ; mode=block"),
    (
        "strict-transport-security",
        "strict-transport-security",
        "strictTransportSecurityHeaderValue",
        "max-age=631138519",
    ),
    ("x-frame-options", "frame-options", "frameOptionsHeaderValue", "DENY"),
    ("x-content-type-options", "content-type-options", "contentTypeOptionsHeaderValue", "nosniff"),
    ("referrer-policy", "referrer-policy", "referrerPolicyHeaderValue", "no-referrer"),
    (
        "content-security-policy",
        "content-security-policy",
        "contentSecurityPolicyHeaderValue",
        "default-src 'self' https:; font-src 'self' https: data:; img-src 'self' https: data:; object-src 'none'; \
         script-src https:; style-src 'self' https: 'unsafe-inline'",
    ),
    ("x-download-options", "download-options", "downloadOptionsHeaderValue", "noopen"),
    (
        "x-permitted-cross-domain-policies",
        "permitted-cross-domain-policies",
        "permittedCrossDomainPoliciesHeaderValue",
        "none",
    ),
    (
        PERMISSIONS,
        "permissions-policy",
        "permissionPolicyHeaderValue",
        "accelerometer=(), ambient-light-sensor=(), autoplay=(), battery=(), camera=(), cross-origin-isolated=(), \
         display-capture=(), document-domain=(), encrypted-media=(), execution-while-not-rendered=(), \
         execution-while-out-of-viewport=(), fullscreen=(), geolocation=(), gyroscope=(), keyboard-map=(), \
         magnetometer=(), microphone=(), midi=(), navigation-override=(), payment=(), picture-in-picture=(), \
         publickey-credentials-get=(), screen-wake-lock=(), sync-xhr=(), usb=(), web-share=(), xr-spatial-tracking=()",
    ),
];
/// The one that is sent only where it is enabled.
const PERMISSIONS: &str = "permissions-policy";

/// `filter.secure-headers`
#[derive(Clone, Debug)]
pub(crate) struct SecureHeaders {
    values: [HeaderValue; FIELDS.len()],
    enabled: Vec<String>,
    disabled: Vec<String>,
}

impl SecureHeaders {
    /// Reads it.
    pub(crate) fn read(section: &Section<'_>) -> Self {
        let values = FIELDS.map(|(_, setting, _, default)| {
            let text = section.string(setting);
            let read = text.as_deref().map(|text| value(text).map_err(|reason| section.error(setting, reason)).ok());
            read.flatten().unwrap_or(HeaderValue::from_static(default))
        });
        let names = |key: &str| {
            let items = section.items(key);
            let names = items.iter().filter_map(|item| {
                let text = item.required_text("the name of a header")?;
                known(text).map_err(|reason| item.error(reason)).ok()
            });
            names.collect()
        };
        Self { values, enabled: names("enable"), disabled: names("disable") }
    }

    /// Reads the filter: what it adds to answers that do not have it.
    pub(super) fn fields(&self, mut definition: Definition<'_>) -> Option<Arc<[(HeaderName, HeaderValue)]>> {
        let enabled = definition.take("enable", None);
        let disabled = definition.take("disable", None);
        let arguments: [Parameter; 10] = std::array::from_fn(|place| {
            FIELDS.get(place).map_or(("permissionsPolicy", &[][..]), |(_, _, argument, _)| (*argument, &[][..]))
        });
        let bound = definition.bind(arguments, 0)?;
        let is_own = !enabled.is_empty() || !disabled.is_empty() || bound[FIELDS.len()].is_some();
        let all = |values: Vec<crate::definition::Value<'_>>| -> Option<Vec<String>> {
            let names: Vec<_> = values.iter().map(|value| value.convert(known)).collect();
            names.into_iter().collect()
        };
        let (mut enabled, mut disabled) = (all(enabled)?, all(disabled)?);
        if !is_own {
            (enabled, disabled) = (self.enabled.clone(), self.disabled.clone());
        }
        let mut fields = Vec::new();
        for (place, (name, ..)) in FIELDS.into_iter().enumerate() {
            let argument = match &bound[FIELDS.len()] {
                Some(policy) if name == PERMISSIONS => Some(policy),
                _ => bound[place].as_ref(),
            };
            let value = argument.map_or(Some(self.values[place].clone()), |text| text.convert(value))?;
            let is = |names: &[String]| names.iter().any(|known| known == name);
            if (name != PERMISSIONS || is(&enabled)) && !is(&disabled) {
                fields.push((HeaderName::from_static(name), value));
            }
        }
        Some(fields.into())
    }
}

fn value(text: &str) -> Result<HeaderValue, String> {
    text.parse().map_err(|_| format!("{} cannot be the value of a header", quoted(text)))
}

/// The name of one of the fields, in lower case.
fn known(text: &str) -> Result<String, String> {
    let names = || FIELDS.iter().map(|(name, ..)| *name);
    let found = names().find(|name| relaxed(name) == relaxed(text));
    found.map(str::to_owned).ok_or_else(|| {
        let (all, hint) = (names().collect::<Vec<_>>().join(", "), suggestion(text, names()));
        format!("{} is not a header of SecureHeaders{hint}: expected one of {all}", quoted(text))
    })
}
