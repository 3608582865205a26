//! Values that may be written in several ways.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{AddressTests, Block, Tests, Window};

/// Names that the document gives.
pub(super) const NAME: &str = r"^([A-Za-z0-9_+-]{1,64}|\[[A-Za-z0-9._+-]{1,64}\])$";
/// Facts with names of their own: not the first part of a built-in one.
pub(super) const OWN_FACT: &str = r"^(?!(header|query|cookie|cookie-json|jwt|user-agent|method|path|host|ip|city|time|random)$)([A-Za-z0-9_+-]{1,64}|\[[A-Za-z0-9._+-]{1,64}\])$";

/// Types that are one schema and nothing else. A text in quotes stands for a number or a truth value as well, and
/// `${...}` for anything.
macro_rules! values {
    ($($(#[$doc:meta])* $name:ident = $json:tt;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $name;

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

values! {
    /// A text; numbers and truth values are taken as written.
    Text = { "type": ["string", "number", "boolean"] };
    /// One text or several; one text may hold several, with commas between.
    Names = { "anyOf": [{ "type": "string", "minLength": 1 }, { "type": "array", "items": { "type": "string" }, "minItems": 1 }] };
    /// One value or several. A text with a comma is one value.
    Values = { "anyOf": [
        { "type": ["string", "number", "boolean"] },
        { "type": "array", "items": { "type": ["string", "number", "boolean"] }, "minItems": 1 }
    ] };
    /// Letters, digits and `. _ - +`, at most 64.
    Plain = { "anyOf": [{ "type": "string", "pattern": r"^([A-Za-z0-9._+-]{1,64}|.*\$\{.*)$" }, { "type": ["number", "boolean"] }] };
    /// true or false.
    Flag = { "anyOf": [{ "type": "boolean" }, { "type": "string", "pattern": r"^([Tt]rue|[Ff]alse|[Yy]es|[Nn]o|[Oo]n|[Oo]ff|.*\$\{.*)$" }] };
    /// A number.
    Number = { "anyOf": [{ "type": "number" }, { "type": "string", "pattern": r"^([-+0-9.eE]+|.*\$\{.*)$" }] };
    /// From 0 to 100, with two decimals at most.
    Percent = { "anyOf": [
        { "type": "number", "minimum": 0, "maximum": 100 },
        { "type": "string", "pattern": r"^([0-9]{1,3}(\.[0-9]{0,2})?%?|.*\$\{.*)$" }
    ] };
    /// A part of a layer, in percent: 0..50.
    Slot = { "type": "string", "pattern": r"^([0-9.]+ *\.\. *[0-9.]+|.*\$\{.*)$" };
    /// Who answers instead: the baseline, any instance, nobody (503).
    Fallback = { "enum": ["baseline", "any", "fail", null] };
    /// What the header `gray` says.
    Tag = { "enum": ["GRAY", "PROD", "ALL", null] };
    /// Which instances: a version (`V2`), one metadata key with its value (`{gray-tag: true}`), a key that must be
    /// missing (`{gray-tag: ~}`), all (`*`), or a value of the request (`{version: $header.versionId}`).
    Selector = { "anyOf": [
        { "type": "string", "pattern": r"^(\*|\$.+|[A-Za-z0-9._+-]{1,64}|.*\$\{.*)$" },
        { "type": ["number", "boolean"] },
        {
            "type": "object",
            "propertyNames": { "pattern": NAME },
            "additionalProperties": { "anyOf": [
                { "type": "string", "pattern": r"^(\$.+|[A-Za-z0-9._+-]{0,64}|.*\$\{.*)$" },
                { "type": ["number", "boolean", "null"] }
            ] },
            "minProperties": 1,
            "maxProperties": 1
        }
    ] };
}

/// One value or several: any of these.
#[derive(Debug)]
pub struct OneOrMore<T>(pub Vec<T>);

impl<T: JsonSchema> JsonSchema for OneOrMore<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMore{}", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
    }
}

/// A value or values to be equal to, or a map of tests.
#[derive(Debug, Default)]
pub struct ValueTest;

impl JsonSchema for ValueTest {
    fn schema_name() -> Cow<'static, str> {
        "ValueTest".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        either::<Values, Tests>(generator, "A value or values, one of which it must be, or a map of tests.")
    }
}

/// Addresses and networks, or a map of tests.
#[derive(Debug, Default)]
pub struct AddressTest;

impl JsonSchema for AddressTest {
    fn schema_name() -> Cow<'static, str> {
        "AddressTest".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        either::<Values, AddressTests>(generator, "Addresses and networks (10.0.0.0/8), or a map of tests.")
    }
}

/// A window of time, or `not` one.
#[derive(Debug, Default)]
pub struct Time;

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let window = generator.subschema_for::<Window>();
        json_schema!({ "anyOf": [
            window,
            { "type": "object", "properties": { "not": window }, "required": ["not"], "additionalProperties": false }
        ] })
    }
}

/// A block of conditions, or several, any of which suffices.
#[derive(Debug, Default)]
pub struct When;

impl JsonSchema for When {
    fn schema_name() -> Cow<'static, str> {
        "When".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        OneOrMore::<Block>::json_schema(generator)
    }
}

/// A service on a lane: its instances, or a map of select and fallback.
#[derive(Debug)]
pub struct ServiceOnLane;

impl JsonSchema for ServiceOnLane {
    fn schema_name() -> Cow<'static, str> {
        "ServiceOnLane".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let selector = generator.subschema_for::<Selector>();
        let fallback = generator.subschema_for::<Fallback>();
        json_schema!({ "anyOf": [
            selector,
            {
                "type": "object",
                "properties": { "select": selector, "fallback": fallback },
                "required": ["select"],
                "additionalProperties": false
            }
        ] })
    }
}

fn either<A: JsonSchema, B: JsonSchema>(generator: &mut SchemaGenerator, description: &str) -> Schema {
    let (one, other) = (generator.subschema_for::<A>(), generator.subschema_for::<B>());
    json_schema!({ "description": description, "anyOf": [one, other] })
}
