//! What can be a word or a block, each in a way of its own.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::shapes::{any_of, inlined, one_key, words};
use crate::config::file::{
    Balance, BalanceBlock, Bounds, Budget, BudgetBlock, Concurrency, Cost, FieldTest, HashKey, KeyPart, MinVersion,
    Positive, RateLimit, RateLimits, Redirect, RedirectBlock, Resolve, ResolveBlock, Scope, Sticky, Target,
    TargetBlock, TokenFrom,
};
use crate::config::model::BalanceAlgorithm;
use crate::config::units::{CookieName, Count, FieldName, ListenAddress, Origin, ScopeName};
use crate::ratio::Ratio;
use crate::routing::pattern::Pattern;

/// A value of a first kind alone, or a block.
macro_rules! short_for_block {
    ($($type:ty: $short:ty, $block:ty;)*) => {$(
        impl JsonSchema for $type {
            inlined!(stringify!($type));

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                any_of([generator.subschema_for::<$short>(), generator.subschema_for::<$block>()])
            }
        }
    )*};
}
short_for_block! {
    Balance: BalanceAlgorithm, BalanceBlock;
    Resolve: Positive, ResolveBlock;
    Budget: Ratio, BudgetBlock;
    Redirect: ListenAddress, RedirectBlock;
    Target: Origin, TargetBlock;
}

/// Words, or a block with one key that says which.
macro_rules! keyed {
    ($($type:ty: [$($word:literal),*], $($key:literal: $value:ty),+;)*) => {$(
        impl JsonSchema for $type {
            inlined!(stringify!($type));

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                let block = one_key([$(($key, generator.subschema_for::<$value>())),+]);
                let known: &[&str] = &[$($word),*];
                if known.is_empty() { block } else { any_of([words(known), block]) }
            }
        }
    )*};
}
keyed! {
    HashKey: ["ip", "user"], "claim": String, "header": FieldName, "cookie": CookieName;
    KeyPart: ["ip", "user", "route"], "claim": String, "header": FieldName;
    Scope: ["route"], "shared": ScopeName;
    Sticky: [], "header": FieldName, "cookie": CookieName;
    TokenFrom: ["header"], "header": FieldName, "cookie": CookieName, "query": ScopeName;
}

impl JsonSchema for Cost {
    inlined!("Cost");

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let header = generator.subschema_for::<FieldName>();
        any_of([generator.subschema_for::<Count>(), one_key([("responseHeader", header)])])
    }
}

impl JsonSchema for FieldTest {
    inlined!("FieldTest");

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let text = String::json_schema(generator);
        let prefix = json_schema!({ "type": "string", "minLength": 1 });
        let regex = generator.subschema_for::<Pattern>();
        any_of([text.clone(), one_key([("exact", text), ("prefix", prefix), ("regex", regex)])])
    }
}

impl JsonSchema for Concurrency {
    inlined!("Concurrency");

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        any_of([generator.subschema_for::<Count>(), words(&["adaptive"]), generator.subschema_for::<Bounds>()])
    }
}

impl JsonSchema for RateLimits {
    inlined!("RateLimits");

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<RateLimit>();
        any_of([one.clone(), json_schema!({ "type": "array", "items": one, "minItems": 1 })])
    }
}

impl JsonSchema for MinVersion {
    inlined!("MinVersion");

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": ["1.2", "1.3", 1.2, 1.3] })
    }
}
