//! What blocks are made of: keys and words that mean nothing yet, switches, durations, networks.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use ipnet::IpNet;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde::{Serialize, Serializer};

use crate::config::units::Period;

/// A key whose feature does not exist yet. It can be left out or empty, and nothing else. Such keys come last in
/// their block, behind one called `(later)`, by which the reader knows them.
pub type Later = Option<NotYet>;

/// Refuses whatever value it is given.
#[derive(Clone, Copy, Debug)]
pub struct NotYet;

impl<'de> Deserialize<'de> for NotYet {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom("not available yet; remove this key"))
    }
}

/// Reads a block that is not there by default, so that its key with nothing after it could mean either.
pub fn something<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A duration longer than nothing.
#[derive(Clone, Copy, Debug)]
pub struct Positive(pub Period);

impl<'de> Deserialize<'de> for Positive {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Period::deserialize(deserializer)? {
            period if period.0.is_zero() => Err(D::Error::custom("must be longer than 0; write 250ms or 60s, say")),
            period => Ok(Positive(period)),
        }
    }
}

/// A duration longer than nothing, or `off` (also written `0s`).
#[derive(Clone, Copy, Debug)]
pub struct PositiveOrOff(pub Option<Period>);

impl<'de> Deserialize<'de> for PositiveOrOff {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "off" => Ok(PositiveOrOff(None)),
            text => {
                let period: Period = text.parse().map_err(|wrong| D::Error::custom(format!("{wrong}, or off")))?;
                Ok(PositiveOrOff(Some(period).filter(|period| !period.0.is_zero())))
            }
        }
    }
}

/// A value, or `off`.
#[derive(Clone, Copy, Debug)]
pub struct OrOff<T>(pub Option<T>);

impl<'de, T: FromStr<Err = String>> Deserialize<'de> for OrOff<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "off" => Ok(OrOff(None)),
            text => {
                text.parse().map(|value| OrOff(Some(value))).map_err(|why| D::Error::custom(format!("{why}, or off")))
            }
        }
    }
}

/// A network such as `10.0.0.0/8`; a lone address is a network of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(pub IpNet);

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let network = text.parse::<IpNet>().ok().or_else(|| text.parse().ok().map(|ip: std::net::IpAddr| ip.into()));
        network
            .map(Network)
            .ok_or_else(|| format!("\"{text}\" is no network; write 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32"))
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A word, or a block with one key whose value is a word.
pub enum Word {
    /// The word.
    Alone(String),
    /// The key and its word.
    Of(String, String),
}

impl Word {
    /// Reads one; `expected` is what to write, for messages.
    ///
    /// # Errors
    /// It is something else.
    pub fn read<'de, D: Deserializer<'de>>(deserializer: D, expected: &'static str) -> Result<Self, D::Error> {
        struct Either(&'static str);

        impl<'de> Visitor<'de> for Either {
            type Value = Word;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.0)
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<Word, E> {
                Ok(Word::Alone(word.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Word, A::Error> {
                let mut block: BTreeMap<String, String> = BTreeMap::deserialize(MapAccessDeserializer::new(map))?;
                match (block.pop_first(), block.is_empty()) {
                    (Some((key, value)), true) => Ok(Word::Of(key, value)),
                    _ => Err(A::Error::custom(format!("found a block of several keys, expected {}", self.0))),
                }
            }
        }

        // As text, so that a number or a word for yes is what is written.
        deserializer.deserialize_str(Either(expected))
    }
}

/// Writes a block with one key.
pub fn one<S: Serializer>(serializer: S, key: &str, value: &impl Serialize) -> Result<S::Ok, S::Error> {
    serializer.collect_map([(key, value)])
}

/// A block, or a word for on or off.
#[derive(Clone, Debug)]
pub enum Switch<T> {
    /// `false` or `off`.
    Off,
    /// `true`, `on` or a block.
    On(T),
}

/// A block that `true` alone can stand for.
pub trait Block: Sized {
    /// What `true` means, where it means anything.
    const ON: Option<fn() -> Self>;
    /// What to write, for messages.
    const EXPECTED: &'static str;

    /// What any other word means, where it means anything.
    fn from_word<E: Error>(_: &str) -> Option<Result<Self, E>> {
        None
    }

    /// What a list means, where it means anything.
    ///
    /// # Errors
    /// It means nothing, or something in it is wrong.
    fn from_list<'de, A: serde::de::SeqAccess<'de>>(_: A) -> Result<Self, A::Error> {
        Err(A::Error::custom(format!("found a list, expected {}", Self::EXPECTED)))
    }
}

impl<'de, T: Block + Deserialize<'de>> Deserialize<'de> for Switch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(std::marker::PhantomData<T>);

        impl<'de, T: Block + Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = Switch<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::EXPECTED)
            }

            fn visit_bool<E: Error>(self, on: bool) -> Result<Switch<T>, E> {
                match (on, T::ON) {
                    (false, _) => Ok(Switch::Off),
                    (true, Some(block)) => Ok(Switch::On(block())),
                    (true, None) => Err(E::invalid_value(serde::de::Unexpected::Bool(true), &self)),
                }
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<Switch<T>, E> {
                match word {
                    "off" => self.visit_bool(false),
                    "on" => self.visit_bool(true),
                    other => match T::from_word(other) {
                        Some(block) => block.map(Switch::On),
                        None => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
                    },
                }
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Switch<T>, E> {
                match T::from_word(&number.to_string()) {
                    Some(block) => block.map(Switch::On),
                    None => Err(E::invalid_type(serde::de::Unexpected::Unsigned(number), &self)),
                }
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, list: A) -> Result<Switch<T>, A::Error> {
                T::from_list(list).map(Switch::On)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Switch<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Switch::On)
            }
        }

        deserializer.deserialize_any(Either(std::marker::PhantomData))
    }
}
