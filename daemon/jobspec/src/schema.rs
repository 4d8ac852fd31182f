//! What may stand in a job file: for each block its labels, arguments and inner blocks, and the API's names for them.
//!
//! The tables are read by the decoder, by the JSON reader (which must know what is a block), and for suggestions.
//! One file per family of blocks.

mod connect;
mod group;
mod job;
mod service;
mod task;

pub(crate) use job::FILE;

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Bool,
    Integer,
    Unsigned,
    /// Nanoseconds, or text such as "1h10m".
    Duration,
    Texts,
    Integers,
    /// A map of texts.
    TextMap,
}

pub(crate) struct Argument {
    pub hcl: &'static str,
    pub api: &'static str,
    pub kind: Kind,
    pub required: bool,
}

/// How many blocks of a type there may be, and what they become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    /// At most one: an object.
    One,
    /// A list.
    Many,
    /// An object with one member per label.
    Keyed,
    /// At most one for each label: a list.
    OnePerLabel,
}

/// What stands between the braces of a block.
#[derive(Clone, Copy)]
pub(crate) enum Content {
    Schema(&'static Schema),
    /// Any names; values are texts.
    TextMap,
    /// Any names; values are lists of texts.
    ListMap,
    /// Anything.
    Free,
}

pub(crate) struct Inner {
    pub hcl: &'static str,
    pub api: &'static str,
    pub count: Count,
    pub content: Content,
}

impl Inner {
    pub fn labels(&self) -> &'static [&'static str] {
        match self.content {
            Content::Schema(schema) => schema.labels,
            _ => &[],
        }
    }
}

pub(crate) struct Schema {
    /// The API's names of the labels.
    pub labels: &'static [&'static str],
    pub arguments: &'static [Argument],
    pub blocks: &'static [Inner],
    /// Arguments that older versions knew: dropped, and said so.
    pub dropped: &'static [&'static str],
}

impl Schema {
    pub fn argument(&self, name: &str) -> Option<&'static Argument> {
        self.arguments.iter().find(|argument| argument.hcl == name)
    }

    pub fn block(&self, name: &str) -> Option<&'static Inner> {
        self.blocks.iter().find(|block| block.hcl == name)
    }
}

const fn schema(arguments: &'static [Argument], blocks: &'static [Inner]) -> Schema {
    Schema { labels: &[], arguments, blocks, dropped: &[] }
}

const fn labelled(labels: &'static [&'static str], arguments: &'static [Argument], blocks: &'static [Inner]) -> Schema {
    Schema { labels, arguments, blocks, dropped: &[] }
}

const fn argument(hcl: &'static str, api: &'static str, kind: Kind) -> Argument {
    Argument { hcl, api, kind, required: false }
}

const fn text(hcl: &'static str, api: &'static str) -> Argument {
    argument(hcl, api, Kind::Text)
}

const fn bool(hcl: &'static str, api: &'static str) -> Argument {
    argument(hcl, api, Kind::Bool)
}

const fn integer(hcl: &'static str, api: &'static str) -> Argument {
    argument(hcl, api, Kind::Integer)
}

const fn unsigned(hcl: &'static str, api: &'static str) -> Argument {
    argument(hcl, api, Kind::Unsigned)
}

const fn duration(hcl: &'static str, api: &'static str) -> Argument {
    argument(hcl, api, Kind::Duration)
}

const fn texts(hcl: &'static str, api: &'static str) -> Argument {
    argument(hcl, api, Kind::Texts)
}

const fn text_map(hcl: &'static str, api: &'static str) -> Argument {
    argument(hcl, api, Kind::TextMap)
}

const fn required(mut argument: Argument) -> Argument {
    argument.required = true;
    argument
}

const fn one(hcl: &'static str, api: &'static str, schema: &'static Schema) -> Inner {
    Inner { hcl, api, count: Count::One, content: Content::Schema(schema) }
}

const fn many(hcl: &'static str, api: &'static str, schema: &'static Schema) -> Inner {
    Inner { hcl, api, count: Count::Many, content: Content::Schema(schema) }
}

const fn keyed(hcl: &'static str, api: &'static str, schema: &'static Schema) -> Inner {
    Inner { hcl, api, count: Count::Keyed, content: Content::Schema(schema) }
}

const fn one_per_label(hcl: &'static str, api: &'static str, schema: &'static Schema) -> Inner {
    Inner { hcl, api, count: Count::OnePerLabel, content: Content::Schema(schema) }
}

const fn map_block(hcl: &'static str, api: &'static str) -> Inner {
    Inner { hcl, api, count: Count::One, content: Content::TextMap }
}

const fn list_map_block(hcl: &'static str, api: &'static str) -> Inner {
    Inner { hcl, api, count: Count::One, content: Content::ListMap }
}

const fn free(hcl: &'static str, api: &'static str) -> Inner {
    Inner { hcl, api, count: Count::One, content: Content::Free }
}
