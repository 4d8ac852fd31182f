//! `noun!`: one definition of a noun, two encodings of it.
//!
//! The API's JSON is what a human-readable serializer gets: Nomad's names, every field present, an empty list or map
//! as `null`. The stored form (MessagePack, anything not human-readable) has the same names and leaves out every field
//! that is at its zero value, so that the previous and the next release read it.
//! On the way in both are lenient like Go: any letter case, `null` is absent, unknown fields are ignored.

/// Defines structs with their API field names.
///
/// `pub field: Type = "Name"` is one field; `[omit]` after the name leaves it out of the JSON when it is zero,
/// `[empty]` writes an empty list or map as `[]` or `{}` instead of `null`, `[stored]` keeps it out of the API's JSON.
#[macro_export]
macro_rules! noun {
    ($(
        $(#[$meta:meta])*
        pub struct $name:ident {
            $( $(#[$fmeta:meta])* pub $field:ident : $ty:ty = $key:literal $([$flag:ident])? ),* $(,)?
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name { $( $(#[$fmeta])* pub $field: $ty, )* }

        impl $name {
            /// The API's field names, in order.
            pub const FIELDS: &'static [&'static str] = &[$($key),*];
        }

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> ::core::result::Result<S::Ok, S::Error> {
                use ::serde::ser::SerializeMap as _;
                let human = serializer.is_human_readable();
                let count = 0usize $(+ usize::from($crate::noun!(@write human, self.$field $(, $flag)?)))*;
                let mut map = serializer.serialize_map(Some(count))?;
                $(
                    if $crate::noun!(@write human, self.$field $(, $flag)?) {
                        map.serialize_entry($key, &$crate::noun!(@wrap self.$field $(, $flag)?))?;
                    }
                )*
                map.end()
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> ::core::result::Result<Self, D::Error> {
                struct Visitor;
                impl<'de> ::serde::de::Visitor<'de> for Visitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                        f.write_str(concat!("an object (", stringify!($name), ")"))
                    }
                    fn visit_unit<E: ::serde::de::Error>(self) -> ::core::result::Result<$name, E> { Ok($name::default()) }
                    fn visit_map<A: ::serde::de::MapAccess<'de>>(self, mut map: A) -> ::core::result::Result<$name, A::Error> {
                        let mut noun = $name::default();
                        while let Some(key) = map.next_key::<$crate::field::Key<'de>>()? {
                            $(
                                if key.is($key) {
                                    noun.$field = $crate::field::read(&mut map, $key)?;
                                    continue;
                                }
                            )*
                            map.next_value::<::serde::de::IgnoredAny>()?;
                        }
                        Ok(noun)
                    }
                }
                deserializer.deserialize_any(Visitor)
            }
        }

        impl $crate::field::Field for $name {
            fn is_zero(&self) -> bool {
                true $(&& $crate::field::Field::is_zero(&self.$field))*
            }
        }
    )*};
    (@write $human:ident, $self:ident . $field:ident) => { ($human || !$crate::field::Field::is_zero(&$self.$field)) };
    (@write $human:ident, $self:ident . $field:ident, empty) => { ($human || !$crate::field::Field::is_zero(&$self.$field)) };
    // Alike in both encodings.
    (@write $human:ident, $self:ident . $field:ident, omit) => {{ let _ = $human; !$crate::field::Field::is_zero(&$self.$field) }};
    (@write $human:ident, $self:ident . $field:ident, stored) => { (!$human && !$crate::field::Field::is_zero(&$self.$field)) };
    (@wrap $self:ident . $field:ident) => { $crate::field::Written(&$self.$field) };
    (@wrap $self:ident . $field:ident, empty) => { $self.$field };
    (@wrap $self:ident . $field:ident, omit) => { $crate::field::Written(&$self.$field) };
    (@wrap $self:ident . $field:ident, stored) => { $crate::field::Written(&$self.$field) };
}

/// Defines an enum of fixed words: written as Nomad's text in the API, as the same text when stored.
///
/// An unknown word is kept out with an error that lists the known ones.
#[macro_export]
macro_rules! words {
    ($(
        $(#[$meta:meta])*
        pub enum $name:ident { $( $(#[$vmeta:meta])* $variant:ident = $text:literal ),* $(,)? }
    )*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $( $(#[$vmeta])* $variant, )* }

        impl $name {
            /// Every word, in order.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];
            /// The word as Nomad writes it.
            pub const fn as_str(self) -> &'static str { match self { $($name::$variant => $text),* } }
        }
        impl ::core::fmt::Display for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result { f.pad(self.as_str()) }
        }
        impl ::core::str::FromStr for $name {
            type Err = $crate::field::UnknownWord;
            fn from_str(text: &str) -> ::core::result::Result<Self, Self::Err> {
                match text {
                    $($text => Ok($name::$variant),)*
                    _ => Err($crate::field::UnknownWord { word: text.to_owned(), known: &[$($text),*] }),
                }
            }
        }
        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> ::core::result::Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> ::core::result::Result<Self, D::Error> {
                let text = <::std::borrow::Cow<'de, str> as ::serde::Deserialize<'de>>::deserialize(deserializer)?;
                text.parse().map_err(::serde::de::Error::custom)
            }
        }
        impl $crate::field::Field for $name {
            fn is_zero(&self) -> bool { *self == Self::default() }
        }
    )*};
}
