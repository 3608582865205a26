//! The rule document as types, for its JSON Schema: what an editor knows of it. The reader beside it has the last word;
//! `tests/rules_schema.rs` keeps the two together.
//!
//! A field that is an `Option` may be missing or empty. Nothing is read into these types.

mod spring;
mod values;

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::Value;

pub use self::spring::{OwnFilter, Spring};
pub use self::values::{
    AddressTest, Fallback, Flag, Names, Number, OneOrMore, Percent, Plain, Selector, ServiceOnLane, Slot, Tag, Text,
    Time, ValueTest, Values, When,
};

/// The schema as a text: JSON Schema 2020-12, keys in order of the alphabet, a line feed at the end.
pub fn json() -> String {
    let schema = SchemaGenerator::new(SchemaSettings::draft2020_12()).into_root_schema_for::<RulesDocument>();
    let schema = sorted(schema.to_value());
    format!("{schema:#}\n")
}

/// The order must not depend on the features that other crates give to serde_json.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.into_iter().collect();
            entries.sort_by(|(one, _), (other, _)| one.cmp(other));
            Value::Object(entries.into_iter().map(|(key, value)| (key, sorted(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// Names that the document gives: no dots, which nest, unless in brackets.
fn named(schema: &mut Schema) {
    schema.insert("propertyNames".into(), serde_json::json!({ "pattern": values::NAME }));
}

/// Who gets which lane. The contract is docs/rules.md of gray-chain.
#[derive(Debug, JsonSchema)]
#[schemars(title = "gray-rules.yaml", deny_unknown_fields)]
pub struct RulesDocument {
    /// The rules and what they need.
    pub gray: Option<Rules>,
}

/// The rules and what they need.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Rules {
    /// Stops all rules at once: everybody gets the default lane.
    pub kill: Option<Flag>,
    /// The lane of requests that match no rule; `baseline` when missing. It cannot depend on the request.
    pub default: Option<Text>,
    /// The cookie that tells a browser its lane.
    pub cookie: Option<Plain>,
    /// Which instances ordinary requests use; those of `prodVersion` when missing.
    pub baseline: Option<Baseline>,
    /// Which instances the requests of each lane use. `baseline`, `any` and `gray` are there without being written.
    #[schemars(transform = named)]
    pub lanes: Option<BTreeMap<String, Lane>>,
    /// Facts with names of their own: one or several sources, of which the first that is there counts.
    #[schemars(transform = named)]
    pub facts: Option<BTreeMap<String, Names>>,
    /// Groups of shares that exclude each other.
    #[schemars(transform = named)]
    pub layers: Option<BTreeMap<String, Layer>>,
    /// Where the JSON Web Token is, and who must have signed it.
    pub jwt: Option<Jwt>,
    /// The rules, in order: the first that matches gives the request its lane.
    pub rules: Option<Vec<Rule>>,
    /// What only the Java system knows, for routes of Spring Cloud Gateway that stay as they are.
    pub spring: Option<Spring>,
}

/// Which instances ordinary requests use. Must not depend on the request.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Baseline {
    /// The instances of every service that is not named below.
    pub select: Option<Selector>,
    /// The instances of single services.
    #[schemars(transform = named)]
    pub services: Option<BTreeMap<String, Selector>>,
}

/// Which instances the requests of a lane use. At least one of select, services and namespace.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, extend("minProperties" = 1))]
pub struct Lane {
    /// The instances of every service that is not named below. When missing: those of the baseline.
    pub select: Option<Selector>,
    /// The instances of single services: a selector, or a map of select and fallback.
    #[schemars(transform = named)]
    pub services: Option<BTreeMap<String, ServiceOnLane>>,
    /// Who answers when no such instance is there: `baseline` when missing.
    pub fallback: Option<Fallback>,
    /// Another namespace of the registry, in which the instances live. One of `namespaces` in common-config.yaml.
    pub namespace: Option<Text>,
    /// What the header `gray` says, for services that know nothing else: GRAY when missing, PROD on the default lane.
    pub tag: Option<Tag>,
}

/// One key and one salt for several shares: what is in the slot of one is in no other.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Layer {
    /// What is hashed: a fact, several of which the first that is there counts, or `random`.
    pub key: Names,
    /// Which draw it is; the name of the layer when missing.
    pub salt: Option<Text>,
}

/// Where the JSON Web Token is, and who must have signed it.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Jwt {
    /// header.NAME, cookie.NAME or query.NAME; `header.authorization` when missing.
    pub token: Option<Text>,
    /// A public key in PEM (RSA, P-256, P-384, Ed25519), or, if `algorithm` names HS256, HS384 or HS512, a secret of at least
    /// 16 bytes. Without a key nothing is verified.
    pub key: Option<Text>,
    /// Where the keys are published, in place of `key`: the URL of a key set (JWKS).
    pub jwks_uri: Option<Text>,
    /// Who publishes the keys, in place of `key`: the URL of an issuer (OpenID Connect), whose tokens alone count.
    pub issuer_uri: Option<Text>,
    /// How tokens may be signed: HS256, RS256, PS256, ES256, EdDSA ...; the usual one of the public key when missing.
    pub algorithm: Option<Names>,
    /// Whether a token without `exp` counts for nothing.
    pub require_exp: Option<Flag>,
}

/// Who gets which lane. Needs `when`, `share` or both.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, extend("anyOf" = [{ "required": ["when"] }, { "required": ["share"] }]))]
pub struct Rule {
    /// Its name in logs, metrics and explanations; not `default`.
    pub name: Plain,
    /// A block of conditions that must all hold, or a list of blocks, any of which suffices.
    #[schemars(default)]
    pub when: When,
    /// The part of the matching requests that it takes.
    pub share: Option<Share>,
    /// The lane.
    pub lane: Text,
    /// From when on it is in force: 2026-12-31T18:00:00+08:00.
    pub since: Option<Text>,
    /// Until when it is in force.
    pub until: Option<Text>,
    /// `false`: as if it were not there, but still checked.
    pub enabled: Option<Flag>,
    /// Whether those who match are told the path of their requests in the header `gray-path`.
    pub trace: Option<Flag>,
    /// `false`: answers to those who match leave the cookie `gray.cookie` as it is.
    pub cookie: Option<Flag>,
}

/// A part of the matching requests.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Share {
    /// How much, from 0 to 100, with two decimals at most.
    pub percent: Percent,
    /// What is hashed: a fact, several of which the first that is there counts, or `random`. Not within a layer.
    pub key: Option<Names>,
    /// Which draw it is; the name of the rule when missing. Not within a layer.
    pub salt: Option<Text>,
    /// The layer it is a part of.
    pub layer: Option<Text>,
    /// The part of the layer that it may grow into, in percent: 0..50.
    pub slot: Option<Slot>,
}

/// Conditions on facts of the request, all of which must hold.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "kebab-case", transform = dotted)]
pub struct Block {
    /// First value of a header, by name.
    #[schemars(default)]
    pub header: BTreeMap<String, ValueTest>,
    /// First value of a query parameter, by name.
    #[schemars(default)]
    pub query: BTreeMap<String, ValueTest>,
    /// A cookie, by name.
    #[schemars(default)]
    pub cookie: BTreeMap<String, ValueTest>,
    /// A member of a cookie that holds JSON: name of the cookie, then the members.
    #[schemars(default)]
    pub cookie_json: BTreeMap<String, BTreeMap<String, Members>>,
    /// A claim of the JSON Web Token. Needs `gray.jwt`.
    #[schemars(default)]
    pub jwt: BTreeMap<String, Members>,
    /// What the header User-Agent gives away.
    #[schemars(default)]
    pub user_agent: UserAgent,
    /// The method.
    #[schemars(default)]
    pub method: ValueTest,
    /// The path as the client sent it.
    #[schemars(default)]
    pub path: ValueTest,
    /// The host that was asked for, without port, in lower case.
    #[schemars(default)]
    pub host: ValueTest,
    /// Address of the client: addresses and networks.
    #[schemars(default)]
    pub ip: AddressTest,
    /// City of the client's address.
    #[schemars(default)]
    pub city: ValueTest,
    /// The time of day.
    #[schemars(default)]
    pub time: Time,
}

/// A block may say `header.x` for `header: {x: ...}`, and ask for facts of the document's own.
fn dotted(schema: &mut Schema) {
    let tests = serde_json::json!({
        "^(header|query|cookie)[.].": { "$ref": "#/$defs/ValueTest" },
        "^(cookie-json|jwt)[.].": { "$ref": "#/$defs/Members" },
        "^user-agent[.](os|family)$": { "$ref": "#/$defs/ValueTest" },
        values::OWN_FACT: { "$ref": "#/$defs/ValueTest" },
    });
    schema.insert("patternProperties".into(), tests);
    schema.insert("minProperties".into(), 1.into());
}

/// A test, or members further inside.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub enum Members {
    /// A test of this value.
    Test(Box<ValueTest>),
    /// One step further inside.
    Step(BTreeMap<String, Members>),
}

/// What the header User-Agent gives away.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct UserAgent {
    /// android, ios, harmony, windows, macos, linux or other.
    #[schemars(default)]
    pub os: ValueTest,
    /// wechat, alipay, edge, opera, samsung, firefox, chrome, safari, bot or other.
    #[schemars(default)]
    pub family: ValueTest,
}

/// Tests of one value, all of which must pass.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "kebab-case", extend("minProperties" = 1))]
pub struct Tests {
    /// Equal to this value.
    #[schemars(default)]
    pub exact: Values,
    /// Equal to one of these values.
    #[schemars(default)]
    pub r#in: Values,
    /// Equal to one of the values of the list under this key of the documents, such as shop.grayUids.
    #[schemars(default)]
    pub listed: Text,
    /// Begins with this.
    #[schemars(default)]
    pub prefix: Text,
    /// Ends with this.
    #[schemars(default)]
    pub suffix: Text,
    /// Matches this regular expression as a whole.
    #[schemars(default)]
    pub regex: Text,
    /// Whether it is there at all; the only test that a missing fact can pass.
    #[schemars(default)]
    pub exists: bool,
    /// A semantic version that fits, such as ">=7.0.1, <8".
    #[schemars(default)]
    pub version: Text,
    /// A number, this or more.
    #[schemars(default)]
    pub at_least: Number,
    /// A number, more than this.
    #[schemars(default)]
    pub above: Number,
    /// A number, this or less.
    #[schemars(default)]
    pub at_most: Number,
    /// A number, less than this.
    #[schemars(default)]
    pub below: Number,
    /// A test that must fail. A missing fact does not pass this either.
    #[schemars(default)]
    pub not: Option<Box<ValueTest>>,
}

/// Tests of an address.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, extend("minProperties" = 1))]
pub struct AddressTests {
    /// This address, or one of this network.
    #[schemars(default)]
    pub exact: Values,
    /// One of these addresses and networks.
    #[schemars(default)]
    pub r#in: Values,
    /// One of the addresses and networks of the list under this key of the documents.
    #[schemars(default)]
    pub listed: Text,
    /// Whether it is known.
    #[schemars(default)]
    pub exists: bool,
    /// A test that must fail.
    #[schemars(default)]
    pub not: Option<Box<AddressTest>>,
}

/// Hours of some days of the week.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Window {
    /// Time of day it begins: '09:00'. After `to` the window reaches over midnight.
    pub from: Text,
    /// Time of day it ends, itself not a part.
    pub to: Text,
    /// The days on which it begins: mon, tue, wed, thu, fri, sat, sun. Every day when missing.
    pub days: Option<Names>,
    /// Time zone, such as Asia/Shanghai; UTC when missing.
    pub zone: Option<Text>,
}
