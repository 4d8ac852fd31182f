//! Filtered lists in pages: `filter`, `per_page`, `next_token`, `reverse`.
//!
//! Works over a sorted iterator; each object has a token (`<CreateIndex>.<ID>`, `<namespace>.<ID>` or `<ID>`), and the next
//! page's token is the token of its first object.

use serde::Serialize;
use serde_json::Value;

use crate::call::Call;
use crate::failure::Failure;
use crate::filter::Filter;

/// How a list is cut.
#[derive(Clone, Debug, Default)]
pub struct Paging {
    filter: Option<Filter>,
    per_page: usize,
    next_token: String,
    /// Whether the newest comes first.
    pub reverse: bool,
}

impl Paging {
    /// Reads the parameters.
    pub fn of(call: &Call) -> Result<Self, Failure> {
        let filter = match call.text("filter") {
            "" => None,
            text => Some(
                Filter::parse(text)
                    .map_err(|error| Failure::bad_request(format!("failed to create result paginator: {error}")))?,
            ),
        };
        let per_page = match call.text("per_page") {
            "" => 0,
            text => text
                .parse::<u32>()
                .map_err(|_| Failure::bad_request("Expect a number for `per_page` query string parameter"))?
                as usize,
        };
        let next_token = call.text("next_token").to_owned();
        Ok(Self { filter, per_page, next_token, reverse: call.switch("reverse")? })
    }

    /// Whether nothing is left out: no filter, no page.
    pub fn is_whole(&self) -> bool {
        self.filter.is_none() && self.per_page == 0 && self.next_token.is_empty()
    }

    /// The same pages over a list whose natural order is the other way round.
    pub fn turned_round(&self) -> Self {
        Self { reverse: !self.reverse, ..self.clone() }
    }

    /// Whether an object passes the filter.
    ///
    /// `fields` are all that such an object has: those that its JSON leaves out are empty, not unknown.
    pub fn passes<T: Serialize>(&self, object: &T, fields: &[&str]) -> Result<bool, Failure> {
        let Some(filter) = &self.filter else { return Ok(true) };
        let mut value: Value = serde_json::to_value(object).map_err(Failure::internal)?;
        if let Some(present) = value.as_object_mut() {
            for field in fields {
                present.entry(*field).or_insert(Value::Null);
            }
        }
        filter.matches(&value).map_err(|error| Failure::bad_request(format!("failed to read result page: {error}")))
    }

    /// Cuts a list that is sorted by `order` (a key that compares like the token) into this page.
    ///
    /// `token` names an object, `parse` finds the place that a token names, `filtered` is what the filter sees, `made` the answer.
    pub fn cut<I, T, K, R>(
        &self,
        objects: I,
        key: impl Fn(&T) -> K,
        token: impl Fn(&T) -> String,
        parse: impl Fn(&str) -> Option<K>,
        passes: impl Fn(&Self, &T) -> Result<bool, Failure>,
        made: impl Fn(&T) -> R,
    ) -> Result<(Vec<R>, Option<String>), Failure>
    where
        I: Iterator<Item = T>,
        K: PartialOrd,
    {
        let from = match self.next_token.as_str() {
            "" => None,
            text => Some(parse(text).ok_or_else(|| {
                Failure::bad_request(format!(
                    "failed to create result paginator: invalid next_token {text:?}; use the value of the X-Nomad-NextToken header"
                ))
            })?),
        };
        let mut page = Vec::new();
        for object in objects {
            if let Some(from) = &from {
                let key = key(&object);
                if if self.reverse { key > *from } else { key < *from } {
                    continue;
                }
            }
            if !passes(self, &object)? {
                continue;
            }
            if self.per_page > 0 && page.len() == self.per_page {
                return Ok((page, Some(token(&object))));
            }
            page.push(made(&object));
        }
        Ok((page, None))
    }
}
