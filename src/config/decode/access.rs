//! How serde walks through blocks and lists of the tree.

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Error as _, IntoDeserializer as _, MapAccess, SeqAccess};

use super::error::{Error, Step};
use crate::config::yaml::{Entry, Node, Value};

/// The keys of a block with their values, but for those that were taken out.
pub struct Entries<'de> {
    entries: std::slice::Iter<'de, Entry>,
    value: Option<&'de Entry>,
}

impl<'de> Entries<'de> {
    /// Those of `entries`, in their order.
    pub fn new(entries: &'de [Entry]) -> Self {
        Entries { entries: entries.iter(), value: None }
    }
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(entry) = self.entries.by_ref().find(|entry| entry.value.value != Value::Pruned) else {
            return Ok(None);
        };
        self.value = Some(entry);
        seed.deserialize(StrDeserializer::new(&entry.key))
            .map(Some)
            .map_err(|e: Error| e.at(entry.key_at).inside(Step::Key(entry.key.clone())))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let entry = self.value.take().ok_or_else(|| Error::custom("a value was asked for before its key"))?;
        seed.deserialize(&entry.value).map_err(|e| e.at(entry.value.at).inside(Step::Key(entry.key.clone())))
    }
}

/// The items of a list, likewise.
pub struct Items<'de> {
    items: &'de [Node],
    next: usize,
}

impl<'de> Items<'de> {
    /// Those of `items`, in their order.
    pub fn new(items: &'de [Node]) -> Self {
        Items { items, next: 0 }
    }
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        while let Some(item) = self.items.get(self.next) {
            let index = self.next;
            self.next += 1;
            if item.value != Value::Pruned {
                return seed.deserialize(item).map(Some).map_err(|e| e.at(item.at).inside(Step::Index(index)));
            }
        }
        Ok(None)
    }
}

/// A value given alone where a list may stand.
pub struct Alone<'de>(pub Option<&'de Node>);

impl<'de> SeqAccess<'de> for Alone<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.0.take().map(|node| seed.deserialize(node)).transpose()
    }
}

/// Line, column, index, whether it is from the environment, and value, in that order.
pub struct Placed<'de> {
    node: &'de Node,
    next: usize,
}

impl<'de> Placed<'de> {
    /// Those of `node`.
    pub fn new(node: &'de Node) -> Self {
        Placed { node, next: 0 }
    }
}

impl<'de> SeqAccess<'de> for Placed<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.next += 1;
        match self.next {
            1 => seed.deserialize((self.node.at.line as u64).into_deserializer()).map(Some),
            2 => seed.deserialize((self.node.at.column as u64).into_deserializer()).map(Some),
            3 => seed.deserialize((self.node.index as u64).into_deserializer()).map(Some),
            4 => seed.deserialize(self.node.is_filled.into_deserializer()).map(Some),
            5 => seed.deserialize(self.node).map(Some),
            _ => Ok(None),
        }
    }
}
