//! What a server sends, as it is written: JSON of two encoders, which differ in what a list of one is.
//!
//! Lenient in every value (a number for a text, a text for a number, nothing at all), so that one odd instance does not cost
//! the others; strict in the shape around them, so that an answer of another kind is never taken for an empty one.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{
        self, IgnoredAny, MapAccess, SeqAccess, Visitor,
        value::{MapAccessDeserializer, SeqAccessDeserializer},
    },
};

/// `{"applications": ...}`: all of them, or changes.
#[derive(Debug, Deserialize)]
pub(crate) struct Answer {
    pub(crate) applications: Applications,
}

/// `{"instance": ...}`: one of them.
#[derive(Debug, Deserialize)]
pub(crate) struct Single {
    pub(crate) instance: Listed,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Applications {
    /// How many instances there are by status, on the whole.
    #[serde(default, rename = "apps__hashcode")]
    pub(crate) hash: Option<Text>,
    #[serde(default, rename = "application")]
    pub(crate) apps: Many<App>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct App {
    #[serde(default)]
    pub(crate) name: Text,
    #[serde(default, rename = "instance")]
    pub(crate) instances: Many<Listed>,
}

/// One instance.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Listed {
    pub(crate) instance_id: Text,
    pub(crate) host_name: Text,
    pub(crate) ip_addr: Text,
    pub(crate) status: Text,
    pub(crate) port: Port,
    pub(crate) secure_port: Port,
    pub(crate) vip_address: Text,
    pub(crate) metadata: Pairs,
    pub(crate) action_type: Text,
}

/// A text, or something that is read as one; what is neither text, number nor truth value is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) String);

/// `{"$": 8080, "@enabled": "true"}`, or the number alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Port {
    pub(crate) number: Text,
    pub(crate) enabled: Option<bool>,
}

/// Metadata, without what an encoder says of itself (`@class`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pairs(pub(crate) Vec<(String, String)>);

/// A list; one that has a single element may be written as that element, an empty one as nothing.
#[derive(Clone, Debug)]
pub(crate) struct Many<T>(pub(crate) Vec<T>);

impl<T> Default for Many<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMany<T> {
            type Value = Many<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list, or one element of it")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Many)
            }

            fn visit_map<A: MapAccess<'de>>(self, one: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(one)).map(|one| Many(vec![one]))
            }

            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(Many::default())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                if text.trim().is_empty() { Ok(Many::default()) } else { Err(E::custom("a text instead of a list")) }
            }
        }
        deserializer.deserialize_any(OneOrMany(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Lenient;
        impl<'de> Visitor<'de> for Lenient {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<Text, E> {
                Ok(Text(text))
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }

            fn visit_unit<E: de::Error>(self) -> Result<Text, E> {
                Ok(Text::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Text, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Text::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Text::default())
            }
        }
        deserializer.deserialize_any(Lenient)
    }
}

/// Entries of a map, each value a text; anything but a map has none.
struct Entries;

impl<'de> Visitor<'de> for Entries {
    /// And, where there was a single value instead of a map, that.
    type Value = (Vec<(String, String)>, Text);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = map.next_entry::<String, Text>()? {
            entries.push((key, value.0));
        }
        Ok((entries, Text::default()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Default::default())
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(Default::default())
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Default::default())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Default::default())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok((Vec::new(), Text(value.to_string())))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok((Vec::new(), Text(value.to_string())))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok((Vec::new(), Text(text.to_owned())))
    }
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (mut entries, _) = deserializer.deserialize_any(Entries)?;
        entries.retain(|(key, _)| key != "@class");
        Ok(Self(entries))
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (entries, number) = deserializer.deserialize_any(Entries)?;
        let value = |wanted: &str| entries.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.as_str());
        let number = value("$").map_or(number, |number| Text(number.to_owned()));
        Ok(Self { number, enabled: value("@enabled").map(|enabled| enabled.eq_ignore_ascii_case("true")) })
    }
}
