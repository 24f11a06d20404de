//! Values of the file that know their place, and lists that may be written as one value.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde::{Serialize, Serializer};

use super::decode::{LOCATED, ONE_OR_MANY};
use super::error::Position;

/// A value and where it stands in the file, for checks that come after reading.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Located<T> {
    /// Where the value begins.
    pub at: Position,
    /// Its place in the list that it stands in, counted from 0, mistaken items included.
    pub index: usize,
    /// Whether something of it is from the environment.
    pub is_filled: bool,
    /// The value.
    pub value: T,
}

impl<T> Deref for Located<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Serialize> Serialize for Located<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Located<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Placed<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Placed<T> {
            type Value = Located<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Located<T>, A::Error> {
                let absent = || A::Error::custom("a value without its place");
                let line = parts.next_element()?.ok_or_else(absent)?;
                let column = parts.next_element()?.ok_or_else(absent)?;
                let index = parts.next_element()?.ok_or_else(absent)?;
                let is_filled = parts.next_element()?.ok_or_else(absent)?;
                let value = parts.next_element()?.ok_or_else(absent)?;
                Ok(Located { at: Position { line, column }, index, is_filled, value })
            }
        }

        deserializer.deserialize_newtype_struct(LOCATED, Placed(PhantomData))
    }
}

/// A list that may also be written as its only item.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OneOrMany<T>(pub Vec<T>);

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        OneOrMany(Vec::new())
    }
}

impl<T> Deref for OneOrMany<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Items<T> {
            type Value = OneOrMany<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value or a list of them")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<OneOrMany<T>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = parts.next_element()? {
                    items.push(item);
                }
                Ok(OneOrMany(items))
            }
        }

        deserializer.deserialize_newtype_struct(ONE_OR_MANY, Items(PhantomData))
    }
}
