//! `-t`: Go templates over the answer.
//!
//! The fields are those of the JSON; beside Go's own functions there are `json` and `prettyjson`.

use std::collections::BTreeMap;
use std::sync::Arc;

use gotmpl::{Template, TemplateError, Value};

/// The text that a template makes of an answer, with a line end.
pub fn render(template: &str, answer: &serde_json::Value) -> Result<String, TemplateError> {
    let mut text = Template::new("format")
        .func("json", |values| Ok(Value::String(json(values.first(), false).into())))
        .func("prettyjson", |values| Ok(Value::String(json(values.first(), true).into())))
        .parse(template)?
        .execute_to_string(&value(answer))?;
    text.push('\n');
    Ok(text)
}

fn value(answer: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match answer {
        Json::Null => Value::Nil,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::Int(number),
            (None, Some(number)) => Value::Uint(number),
            _ => Value::Float(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Value::String(text.as_str().into()),
        Json::Array(items) => Value::List(items.iter().map(value).collect::<Vec<_>>().into()),
        Json::Object(fields) => {
            let fields: BTreeMap<Arc<str>, Value> =
                fields.iter().map(|(key, field)| (key.as_str().into(), value(field))).collect();
            Value::Map(Arc::new(fields))
        }
    }
}

fn json(value: Option<&Value>, pretty: bool) -> String {
    let json = value.map(back).unwrap_or_default();
    if pretty { format!("{json:#}") } else { json.to_string() }
}

fn back(value: &Value) -> serde_json::Value {
    match value {
        Value::Bool(truth) => (*truth).into(),
        Value::Int(number) => (*number).into(),
        Value::Uint(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::String(text) => text.as_ref().into(),
        Value::List(items) => items.iter().map(back).collect(),
        Value::Map(fields) => fields.iter().map(|(key, field)| (key.to_string(), back(field))).collect(),
        _ => serde_json::Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_see_the_fields_of_the_answer() {
        let answer = serde_json::json!([{"Name": "dev-node", "Status": "ready", "N": 3}, {"Name": "b", "Status": "down", "N": 4}]);
        for (template, expected) in [
            ("{{range .}}{{.Name}} {{.Status}}{{println}}{{end}}", "dev-node ready\nb down\n\n"),
            ("{{len .}}", "2\n"),
            ("{{with index . 1}}{{printf \"%s=%d\" .Name .N}}{{end}}", "b=4\n"),
            ("{{json (index . 0)}}", "{\"N\":3,\"Name\":\"dev-node\",\"Status\":\"ready\"}\n"),
        ] {
            assert_eq!(render(template, &answer).unwrap(), expected);
        }
        assert!(render("{{.x", &answer).is_err());
    }
}
