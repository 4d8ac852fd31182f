//! What a field of a noun must know: whether it is zero, and how it is written and read.
//!
//! Called by the code that `noun!` makes; nobody else needs it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess};
use serde::ser::{Serialize, Serializer};

/// A value that can stand in a noun.
pub trait Field {
    /// Whether this is the value that an absent field has.
    fn is_zero(&self) -> bool;
    /// Whether the API writes `null` for it (Go's nil lists and maps).
    fn is_null(&self) -> bool {
        false
    }
}

/// Writes a field with Go's `null` for an empty list or map.
pub struct Written<'a, T>(pub &'a T);

impl<T: Field + Serialize> Serialize for Written<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_null() { serializer.serialize_none() } else { self.0.serialize(serializer) }
    }
}

/// A field name as it came in.
pub struct Key<'de>(Cow<'de, str>);

impl Key<'_> {
    /// Whether the name is `known`, in any letter case.
    #[inline]
    pub fn is(&self, known: &str) -> bool {
        self.0.len() == known.len() && (self.0 == known || self.0.eq_ignore_ascii_case(known))
    }
}

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a field name")
            }
            fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(v)))
            }
            fn visit_str<E>(self, v: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(v.to_owned())))
            }
            fn visit_string<E>(self, v: String) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(v)))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

/// Reads one value; `null` is the zero value, an error names the field.
pub fn read<'de, A: MapAccess<'de>, T: Deserialize<'de> + Default>(map: &mut A, key: &str) -> Result<T, A::Error> {
    match map.next_value::<Option<T>>() {
        Ok(value) => Ok(value.unwrap_or_default()),
        Err(source) => Err(A::Error::custom(format_args!("{key}: {source}"))),
    }
}

/// A field that clients expect and that never holds anything: "" on the way out, and no byte of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoText;

impl Serialize for NoText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("")
    }
}
impl<'de> Deserialize<'de> for NoText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}
impl Field for NoText {
    fn is_zero(&self) -> bool {
        true
    }
}

/// A word that is not one of the known ones.
#[derive(Debug, Clone, thiserror::Error)]
#[error("unknown value {word:?}; one of {} is expected", known.join(", "))]
pub struct UnknownWord {
    /// What was given.
    pub word: String,
    /// What would have been understood.
    pub known: &'static [&'static str],
}

macro_rules! zero_is {
    ($($ty:ty => $zero:expr),* $(,)?) => {$(
        impl Field for $ty { fn is_zero(&self) -> bool { *self == $zero } }
    )*};
}
zero_is!(bool => false, u8 => 0, u16 => 0, u32 => 0, u64 => 0, usize => 0, i8 => 0, i16 => 0, i32 => 0, i64 => 0, f32 => 0.0, f64 => 0.0);

impl Field for String {
    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}
impl Field for serde_json::Value {
    fn is_zero(&self) -> bool {
        self.is_null()
    }
}
impl<T> Field for Option<T> {
    fn is_zero(&self) -> bool {
        self.is_none()
    }
}
impl<T> Field for Vec<T> {
    fn is_zero(&self) -> bool {
        self.is_empty()
    }
    fn is_null(&self) -> bool {
        self.is_empty()
    }
}
impl<K, V> Field for BTreeMap<K, V> {
    fn is_zero(&self) -> bool {
        self.is_empty()
    }
    fn is_null(&self) -> bool {
        self.is_empty()
    }
}
impl Field for serde_json::Map<String, serde_json::Value> {
    fn is_zero(&self) -> bool {
        self.is_empty()
    }
    fn is_null(&self) -> bool {
        self.is_empty()
    }
}
impl<T: Field + ?Sized> Field for Arc<T> {
    fn is_zero(&self) -> bool {
        (**self).is_zero()
    }
    fn is_null(&self) -> bool {
        (**self).is_null()
    }
}
impl<T: Field + ?Sized> Field for Box<T> {
    fn is_zero(&self) -> bool {
        (**self).is_zero()
    }
    fn is_null(&self) -> bool {
        (**self).is_null()
    }
}
