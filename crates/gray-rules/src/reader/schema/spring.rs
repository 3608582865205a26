//! `gray.spring`: what only the Java system knows. It is read with the routes; what is known of it here is its form.

use std::{borrow::Cow, collections::BTreeMap};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

/// What only the Java system knows, for routes of Spring Cloud Gateway that stay as they are.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct Spring {
    /// What stands for filters of the system's own: `{ use: FILTER, args: { ... } }`, `refuse` or `{ drop: "why" }`.
    pub filters: Option<BTreeMap<String, OwnFilter>>,
    /// What beans mean that rate limits count by: client, user, route or header.NAME.
    pub key_resolvers: Option<BTreeMap<String, KeyResolver>>,
    /// URI schemes of the system's own that mean `lb` or `lb:https`.
    pub schemes: Option<BTreeMap<String, Scheme>>,
    /// The release of Spring Cloud Gateway that the routes were written for.
    pub release: Option<super::Text>,
    /// What stands for the controllers that circuit breakers fall back to.
    pub fallbacks: Option<BTreeMap<String, Value>>,
    /// Keys that this gateway does not take, and why they can go.
    pub acknowledge: Option<BTreeMap<String, Value>>,
}

/// What stands for a filter of the system's own.
#[derive(Clone, Copy, Debug)]
pub struct OwnFilter;

/// What requests are counted by.
#[derive(Clone, Copy, Debug)]
pub struct KeyResolver;

/// What a scheme means.
#[derive(Clone, Copy, Debug)]
pub struct Scheme;

macro_rules! inline {
    ($($name:ident = $json:tt;)*) => {$(
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($json)
            }
        }
    )*};
}

inline! {
    OwnFilter = { "anyOf": [
        { "type": "string", "pattern": r"^(refuse|.*\$\{.*)$" },
        {
            "type": "object",
            "properties": { "use": { "type": ["string", "object", "array"] }, "args": { "type": ["object", "array", "string"] } },
            "required": ["use"],
            "additionalProperties": false
        },
        { "type": "object", "properties": { "drop": { "type": "string" } }, "required": ["drop"], "additionalProperties": false }
    ] };
    KeyResolver = { "type": "string", "pattern": r"^(client|user|route|header\..+|.*\$\{.*)$" };
    Scheme = { "type": "string", "pattern": r"^([Ll][Bb](:[Hh][Tt][Tt][Pp][Ss])?|.*\$\{.*)$" };
}
