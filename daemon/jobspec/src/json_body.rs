//! A job file in JSON → the tree. The tables say which members are blocks and how many labels these have.

use std::sync::Arc;

use crate::diagnostic::Outcome;
use crate::json::{Member, Node, NodeKind, read};
use crate::native;
use crate::schema::{Content, FILE, Inner, Schema};
use crate::source::Span;
use crate::tree::{Attribute, Block, Body, Expression, Item, Kind, Label};

/// Whether a text is JSON: its first character is a brace.
pub(crate) fn is_json(source: &str) -> bool {
    source.trim_start().starts_with('{')
}

/// Reads a whole job file.
pub(crate) fn parse_body(source: &str) -> Outcome<Body> {
    let node = read(source)?;
    body(&node, Content::Schema(&FILE))
}

/// Reads a file of variables: each member is one.
pub(crate) fn parse_attributes(source: &str) -> Outcome<Body> {
    body(&read(source)?, Content::Free)
}

fn body(node: &Node, content: Content) -> Outcome<Body> {
    let mut items = Vec::new();
    match &node.kind {
        NodeKind::Object(members) => {
            for member in members {
                self::member(member, content, &mut items)?;
            }
        }
        NodeKind::Array(nodes) => {
            for node in nodes {
                items.extend(body(node, content)?.items);
            }
        }
        _ => {}
    }
    Ok(Body { items })
}

fn member(member: &Member, content: Content, items: &mut Vec<Item>) -> Outcome<()> {
    let Content::Schema(schema) = content else { return attribute(member, items) };
    let structured = matches!(member.node.kind, NodeKind::Object(_) | NodeKind::Array(_));
    match schema.block(&member.name) {
        _ if member.name == "//" => Ok(()),
        _ if matches!(member.node.kind, NodeKind::Null) => Ok(()),
        Some(inner) if structured => {
            let mut labels = Vec::new();
            blocks(
                &member.name,
                member.name_span,
                inner.content,
                inner.labels().len(),
                &member.node,
                &mut labels,
                items,
            )
        }
        None if member.name == "dynamic" => dynamic(schema, &member.node, items),
        _ => attribute(member, items),
    }
}

/// Blocks of one type: as many levels of objects as there are labels, lists for several.
fn blocks(
    kind: &str,
    kind_span: Span,
    content: Content,
    wanted: usize,
    node: &Node,
    labels: &mut Vec<Label>,
    items: &mut Vec<Item>,
) -> Outcome<()> {
    match &node.kind {
        NodeKind::Array(nodes) => {
            nodes.iter().try_for_each(|node| blocks(kind, kind_span, content, wanted, node, labels, items))
        }
        NodeKind::Object(members) if labels.len() < wanted => members.iter().try_for_each(|member| {
            labels.push(Label { text: member.name.clone(), span: member.name_span });
            let result = blocks(kind, kind_span, content, wanted, &member.node, labels, items);
            labels.pop();
            result
        }),
        NodeKind::Object(_) => {
            // The label is what tells this block from its like.
            let kind_span = labels.first().map_or(kind_span, |label| label.span);
            let body = body(node, content)?;
            items.push(Item::Block(Block {
                kind: kind.to_owned(),
                kind_span,
                labels: labels.clone(),
                brace: node.span,
                body,
            }));
            Ok(())
        }
        _ => Ok(()),
    }
}

/// `"dynamic": {"port": {"for_each": …, "labels": …, "content": {…}}}`
fn dynamic(schema: &Schema, node: &Node, items: &mut Vec<Item>) -> Outcome<()> {
    match &node.kind {
        NodeKind::Array(nodes) => nodes.iter().try_for_each(|node| dynamic(schema, node, items)),
        NodeKind::Object(members) => members.iter().try_for_each(|member| {
            let content = schema.block(&member.name).map_or(Content::Free, |inner: &Inner| inner.content);
            dynamic_of(member, content, &member.node, items)
        }),
        _ => Ok(()),
    }
}

fn dynamic_of(kind: &Member, content: Content, node: &Node, items: &mut Vec<Item>) -> Outcome<()> {
    let members = match &node.kind {
        NodeKind::Array(nodes) => return nodes.iter().try_for_each(|node| dynamic_of(kind, content, node, items)),
        NodeKind::Object(members) => members,
        _ => return Ok(()),
    };
    let mut parts = Vec::new();
    for member in members {
        if member.name == "content" {
            blocks("content", member.name_span, content, 0, &member.node, &mut Vec::new(), &mut parts)?;
        } else {
            attribute(member, &mut parts)?;
        }
    }
    let label = Label { text: kind.name.clone(), span: kind.name_span };
    let block = Block {
        kind: "dynamic".to_owned(),
        kind_span: kind.name_span,
        labels: vec![label],
        brace: node.span,
        body: Body { items: parts },
    };
    items.push(Item::Block(block));
    Ok(())
}

fn attribute(member: &Member, items: &mut Vec<Item>) -> Outcome<()> {
    let span = member.name_span.to(member.node.span);
    let value = expression(&member.node)?;
    items.push(Item::Attribute(Attribute { name: member.name.clone(), name_span: member.name_span, span, value }));
    Ok(())
}

/// JSON as an expression: texts are templates.
fn expression(node: &Node) -> Outcome<Expression> {
    let kind = match &node.kind {
        NodeKind::Null => Kind::Null,
        NodeKind::Bool(bool) => Kind::Bool(*bool),
        NodeKind::Number(number) => Kind::Number(number.clone()),
        NodeKind::Text(text) => return native::parse_template(text, node.span),
        NodeKind::Array(nodes) => Kind::List(nodes.iter().map(expression).collect::<Outcome<_>>()?),
        NodeKind::Object(members) => {
            let items = members.iter().map(|member| {
                let key = if member.name.contains("${") || member.name.contains("%{") {
                    native::parse_template(&member.name, member.name_span)?
                } else {
                    Expression { span: member.name_span, kind: Kind::Text(Arc::from(member.name.as_str())) }
                };
                Ok((key, expression(&member.node)?))
            });
            Kind::Object(items.collect::<Outcome<_>>()?)
        }
    };
    Ok(Expression { span: node.span, kind })
}
