//! Type expressions (`list(object({ name = string }))`) and the conversion of values to them.
//!
//! Used for variables and by the function `convert`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::diagnostic::{Outcome, Problem};
use crate::evaluate::{Evaluator, Scope};
use crate::tree::{Expression, Kind};
use crate::value::{ListKind, MapKind, Value};

#[derive(Clone, Debug)]
pub enum Type {
    Any,
    Text,
    Number,
    Bool,
    List(Box<Type>),
    Set(Box<Type>),
    Map(Box<Type>),
    Tuple(Vec<Type>),
    Object(BTreeMap<Arc<str>, Field>),
}

#[derive(Clone, Debug)]
pub struct Field {
    kind: Type,
    /// `optional(type)` or `optional(type, default)`.
    default: Option<Value>,
}

/// Why a value is not of a type: where in it, and what is missing.
#[derive(Debug)]
pub struct Mismatch {
    path: String,
    need: String,
}

impl Mismatch {
    fn new(need: impl Into<String>) -> Self {
        Self { path: String::new(), need: need.into() }
    }
    fn within(mut self, step: &str) -> Self {
        self.path = format!("{step}{}", self.path);
        self
    }
    /// A clause such as `[0].port: a number is required`.
    pub fn clause(&self) -> String {
        if self.path.is_empty() {
            self.need.clone()
        } else {
            format!("{}: {}", self.path.trim_start_matches('.'), self.need)
        }
    }
}

impl Type {
    /// Reads a type expression.
    pub fn parse(expression: &Expression, evaluator: &Evaluator<'_>) -> Outcome<Self> {
        let known = "string, number, bool, any, list(…), set(…), map(…), object({…}) and tuple([…])";
        match &expression.kind {
            Kind::Reference(reference) if reference.steps.is_empty() => match &*reference.root {
                "string" => Ok(Self::Text),
                "number" => Ok(Self::Number),
                "bool" => Ok(Self::Bool),
                "any" => Ok(Self::Any),
                "list" | "set" | "map" => {
                    let detail = format!("{} needs the type of its elements in parentheses.", reference.root);
                    Err(Problem::new(expression.span, "Invalid type specification", detail))
                }
                "object" | "tuple" => {
                    let detail = format!("{} needs the types of what it contains in parentheses.", reference.root);
                    Err(Problem::new(expression.span, "Invalid type specification", detail))
                }
                other => {
                    let detail = format!("{other:?} is no type; known are {known}.");
                    Err(Problem::new(expression.span, "Invalid type specification", detail))
                }
            },
            Kind::Call(call) => {
                let [argument] = &*call.arguments else {
                    let detail = format!("{} takes one argument.", call.name);
                    return Err(Problem::new(call.head, "Invalid type specification", detail));
                };
                match call.name.as_str() {
                    "list" => Ok(Self::List(Box::new(Self::parse(argument, evaluator)?))),
                    "set" => Ok(Self::Set(Box::new(Self::parse(argument, evaluator)?))),
                    "map" => Ok(Self::Map(Box::new(Self::parse(argument, evaluator)?))),
                    "tuple" => match &argument.kind {
                        Kind::List(items) => Ok(Self::Tuple(
                            items.iter().map(|item| Self::parse(item, evaluator)).collect::<Outcome<_>>()?,
                        )),
                        _ => Err(Problem::new(
                            argument.span,
                            "Invalid type specification",
                            "tuple needs a list of types: tuple([string, number]).",
                        )),
                    },
                    "object" => match &argument.kind {
                        Kind::Object(items) => {
                            let fields = items.iter().map(|(key, kind)| match &key.kind {
                                Kind::Text(name) => Ok((Arc::clone(name), Field::parse(kind, evaluator)?)),
                                _ => Err(Problem::new(
                                    key.span,
                                    "Invalid type specification",
                                    "The attributes of an object type have plain names.",
                                )),
                            });
                            Ok(Self::Object(fields.collect::<Outcome<_>>()?))
                        }
                        _ => Err(Problem::new(
                            argument.span,
                            "Invalid type specification",
                            "object needs attributes with their types: object({ name = string }).",
                        )),
                    },
                    other => {
                        let detail = format!("{other:?} is no type; known are {known}.");
                        Err(Problem::new(call.head, "Invalid type specification", detail))
                    }
                }
            }
            _ => Err(Problem::new(
                expression.span,
                "Invalid type specification",
                format!("A type specification is one of {known}."),
            )),
        }
    }

    /// Whether the text of an environment variable or flag is taken as it is.
    pub fn is_literal_text(&self) -> bool {
        matches!(self, Self::Text | Self::Number | Self::Any)
    }

    /// The type as it is written.
    pub fn describe(&self) -> String {
        match self {
            Self::Any => "any".to_owned(),
            Self::Text => "string".to_owned(),
            Self::Number => "number".to_owned(),
            Self::Bool => "bool".to_owned(),
            Self::List(kind) => format!("list of {}", kind.describe()),
            Self::Set(kind) => format!("set of {}", kind.describe()),
            Self::Map(kind) => format!("map of {}", kind.describe()),
            Self::Tuple(_) => "tuple".to_owned(),
            Self::Object(_) => "object".to_owned(),
        }
    }

    /// Converts as the language does: scalars into each other, collections element by element.
    pub fn convert(&self, value: &Value) -> Result<Value, Mismatch> {
        if value.is_null() {
            return Ok(Value::Null);
        }
        let required = || Mismatch::new(format!("{} required, but have {}", self.with_article(), value.type_name()));
        match self {
            Self::Any => Ok(value.clone()),
            Self::Text => value.to_text().map(Value::Text).ok_or_else(required),
            Self::Number => value.to_number().map(Value::Number).ok_or_else(required),
            Self::Bool => value.to_bool().map(Value::Bool).ok_or_else(required),
            Self::List(kind) | Self::Set(kind) => {
                let list = value.as_list().ok_or_else(required)?;
                let items = list.items.iter().enumerate();
                let items = items
                    .map(|(index, item)| kind.convert(item).map_err(|mismatch| mismatch.within(&format!("[{index}]"))));
                let mut items = items.collect::<Result<Vec<_>, _>>()?;
                if matches!(**kind, Self::Any) {
                    unify(&mut items);
                }
                Ok(Value::list(if matches!(self, Self::Set(_)) { ListKind::Set } else { ListKind::List }, items))
            }
            Self::Map(kind) => {
                let map = value.as_map().ok_or_else(required)?;
                let items = map.items.iter().map(|(key, item)| {
                    let item = kind.convert(item).map_err(|mismatch| mismatch.within(&format!("[{key:?}]")))?;
                    Ok((Arc::clone(key), item))
                });
                let (keys, mut items): (Vec<_>, Vec<_>) = items.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
                if matches!(**kind, Self::Any) {
                    unify(&mut items);
                }
                Ok(Value::map(MapKind::Map, keys.into_iter().zip(items).collect()))
            }
            Self::Tuple(kinds) => {
                let list = value.as_list().ok_or_else(required)?;
                if list.items.len() != kinds.len() {
                    return Err(Mismatch::new(format!(
                        "tuple of {} elements required, but have {}",
                        kinds.len(),
                        list.items.len()
                    )));
                }
                let items = list.items.iter().zip(kinds).enumerate();
                let items = items.map(|(index, (item, kind))| {
                    kind.convert(item).map_err(|mismatch| mismatch.within(&format!("[{index}]")))
                });
                Ok(Value::tuple(items.collect::<Result<_, _>>()?))
            }
            Self::Object(fields) => {
                let map = value.as_map().ok_or_else(required)?;
                let items = fields.iter().map(|(name, field)| {
                    let item = match (map.items.get(name), &field.default) {
                        (Some(Value::Null) | None, Some(default)) => default.clone(),
                        (Some(item), _) => {
                            field.kind.convert(item).map_err(|mismatch| mismatch.within(&format!(".{name}")))?
                        }
                        (None, None) => return Err(Mismatch::new(format!("attribute {name:?} is required"))),
                    };
                    Ok((Arc::clone(name), item))
                });
                Ok(Value::object(items.collect::<Result<_, _>>()?))
            }
        }
    }

    fn with_article(&self) -> String {
        match self {
            Self::Text | Self::Number | Self::Bool => {
                format!("a {} is", self.describe()).trim_end_matches(" is").to_owned()
            }
            _ => self.describe(),
        }
    }
}

impl Field {
    fn parse(expression: &Expression, evaluator: &Evaluator<'_>) -> Outcome<Self> {
        if let Kind::Call(call) = &expression.kind
            && call.name == "optional"
        {
            return match &*call.arguments {
                [kind] => Ok(Self { kind: Type::parse(kind, evaluator)?, default: Some(Value::Null) }),
                [kind, default] => {
                    let kind = Type::parse(kind, evaluator)?;
                    let value = evaluator.evaluate(default, &Scope::root(&[]))?;
                    let value = kind.convert(&value).map_err(|mismatch| {
                        Problem::new(
                            default.span,
                            "Invalid default value for optional attribute",
                            format!(
                                "This default value is not compatible with the attribute's type: {}.",
                                mismatch.clause()
                            ),
                        )
                    })?;
                    Ok(Self { kind, default: Some(value) })
                }
                _ => Err(Problem::new(
                    call.head,
                    "Invalid type specification",
                    "optional() takes a type and perhaps a default value.",
                )),
            };
        }
        Ok(Self { kind: Type::parse(expression, evaluator)?, default: None })
    }
}

/// Brings the elements of a collection to one type, where strings can say what all of them are.
pub fn unify(items: &mut [Value]) {
    let scalar = |value: &Value| matches!(value, Value::Text(_) | Value::Number(_) | Value::Bool(_) | Value::Null);
    let mixed = items.iter().any(|item| matches!(item, Value::Text(_)))
        && items.iter().any(|item| matches!(item, Value::Number(_) | Value::Bool(_)));
    if mixed && items.iter().all(scalar) {
        for item in items {
            if let (false, Some(text)) = (item.is_null(), item.to_text()) {
                *item = Value::Text(text);
            }
        }
    }
}
