//! What people read when a job file is wrong.

use super::job;

/// The whole text of the errors of a file.
fn check(text: &str, expected: &str) {
    let errors = job(text).map(|parsed| parsed.job).expect_err(text);
    assert_eq!(errors.to_string(), expected.trim_matches('\n'), "for:\n{text}");
}

#[test]
fn names_that_are_not_known_get_a_suggestion() {
    check(
        "job \"x\" {\n  group \"g\" {\n    coutn = 3\n  }\n}\n",
        r#"
test.hcl:3,5-10: Unsupported argument; An argument named "coutn" is not expected here. Did you mean "count"?
  3 |     coutn = 3
    |     ^^^^^
"#,
    );
    check(
        "job \"x\" {\n  grop \"g\" {\n  }\n}\n",
        r#"
test.hcl:2,3-7: Unsupported block type; Blocks of type "grop" are not expected here. Did you mean "group"?
  2 |   grop "g" {
    |   ^^^^
"#,
    );
    check(
        "job \"x\" {\n  group = 5\n  region {}\n}\n",
        r#"
test.hcl:2,3-8: Unsupported argument; An argument named "group" is not expected here. Did you mean to define a block of type "group"?
  2 |   group = 5
    |   ^^^^^
test.hcl:3,3-9: Unsupported block type; Blocks of type "region" are not expected here. Did you mean to define argument "region"? If so, use the equals sign to assign it a value.
  3 |   region {}
    |   ^^^^^^
"#,
    );
    check(
        "variable \"image_tag\" { default = 1 }\njob \"x\" {\n  name = var.image_tga\n}\n",
        r#"
test.hcl:3,13-23: Unsupported attribute; This object does not have an attribute named "image_tga".
  3 |   name = var.image_tga
    |             ^^^^^^^^^^
  did you mean "image_tag"?
"#,
    );
}

#[test]
fn wrong_types_name_the_argument_and_the_value() {
    check(
        "job \"x\" {\n  priority = \"high\"\n  datacenters = \"dc1\"\n  all_at_once = [true]\n  group \"g\" {\n    shutdown_delay = \"soon\"\n    count = 1.5\n  }\n}\n",
        r#"
test.hcl:2,15-19: Unsuitable value type; Unsuitable value: a number is required for priority, but this is the text "high"
  2 |   priority = "high"
    |               ^^^^
test.hcl:3,18-21: Unsuitable value type; Unsuitable value: list of string required, but have string
  3 |   datacenters = "dc1"
    |                  ^^^
test.hcl:4,17-23: Unsuitable value type; Unsuitable value: a bool (true or false) is required for all_at_once, but this is a tuple
  4 |   all_at_once = [true]
    |                 ^^^^^^
test.hcl:6,23-27: Unsuitable value type; Unsuitable value: a duration such as "30s" or "1h10m" is required for shutdown_delay, but this is the text "soon"
  6 |     shutdown_delay = "soon"
    |                       ^^^^
test.hcl:7,13-16: Unsuitable value type; Unsuitable value: a whole number is required for count, but this is the number 1.5
  7 |     count = 1.5
    |             ^^^
"#,
    );
}

#[test]
fn syntax_errors_are_where_nomad_sees_them() {
    check(
        "job \"x\" {\n  group \"g\" {\n    count = \n  }\n}\n",
        r#"
test.hcl:3,13-4,1: Invalid expression; Expected the start of an expression, but found an invalid expression token.
  3 |     count = 
    |             ^
"#,
    );
    check(
        "job \"x\" {\n  group \"g\" {\n    task \"t\" {\n      driver = \"raw_exec\"\n",
        r#"
test.hcl:3,14-15: Unclosed configuration block; There is no closing brace for this block before the end of the file.
  3 |     task "t" {
    |              ^
"#,
    );
    check(
        "job \"x\" {\n  group \"g\" {\n    count = 1\n  \n  task \"t\" {\n  }\n}\n",
        r#"
test.hcl:1,9-10: Unclosed configuration block; There is no closing brace for this block before the end of the file.
  1 | job "x" {
    |         ^
  the missing brace is probably that of `group "g"` in line 2: the brace in line 7 is indented for a block further out
"#,
    );
    check(
        "job \"x\" {\n  name = \"a\n}\n",
        r#"
test.hcl:2,10-12: Invalid multi-line string; A quoted string ends in the line that it begins in. Write \n for a line break, or use a heredoc (<<EOT).
  2 |   name = "a
    |          ^^
"#,
    );
    check(
        "job \"x\" {\n  meta {\n    a = <<EOT\n  x\n}\n",
        r#"
test.hcl:3,9-14: Unterminated template string; This heredoc has no end: a line with nothing but EOT must follow.
  3 |     a = <<EOT
    |         ^^^^^
"#,
    );
    check(
        "job \"x\" {\n  a = [1, 2\n}\n",
        r#"
test.hcl:3,1-2: Unexpected closing bracket; The [ of line 2 must be closed by ] before this }.
  3 | }
    | ^
"#,
    );
    check(
        "job \"x\" {\n}\n}\n",
        r#"
test.hcl:3,1-2: Unexpected closing bracket; This } closes nothing: there is no open bracket before it.
  3 | }
    | ^
"#,
    );
    check(
        "job \"x\" {\n  name = \"a\\d\"\n}\n",
        r#"
test.hcl:2,12-14: Invalid escape sequence; The backslash begins an escape; known are \n, \r, \t, \", \\, \uNNNN and \UNNNNNNNN. Write \\ for a backslash.
  2 |   name = "a\d"
    |            ^^
"#,
    );
    check(
        "job \"x\" {\n  name = 'a'\n}\n",
        r#"
test.hcl:2,10-11: Invalid character; Strings stand in double quotes ("), not in single ones.
  2 |   name = 'a'
    |          ^
"#,
    );
    check(
        "job \"x\" {\n  name = \"a\"\n  name = \"b\"\n}\n",
        r#"
test.hcl:3,3-7: Attribute redefined; The argument "name" was already set above. Each argument may be set only once.
  3 |   name = "b"
    |   ^^^^
"#,
    );
    check(
        "job \"x\" {\n  meta {\n    a = 1 b = 2 + \n  }\n}\n",
        r#"
test.hcl:3,11-12: Missing newline after argument; An argument definition must end with a newline.
  3 |     a = 1 b = 2 + 
    |           ^
"#,
    );
}

#[test]
fn a_file_needs_one_job() {
    check("", "test.hcl: Missing job block; A job file has one block of the form: job \"name\" { … }");
    check("# nothing\n", "test.hcl: Missing job block; A job file has one block of the form: job \"name\" { … }");
    check(
        "job \"a\" {}\njob \"b\" {}\n",
        r#"
test.hcl:2,1-8: Duplicate job block; Only one job block is allowed. Another was defined at test.hcl:1,1-8.
  2 | job "b" {}
    | ^^^^^^^
"#,
    );
    check(
        "data_dir = \"x\"\nports {\n}\n",
        "test.hcl: Missing job block; A job file has one block of the form: job \"name\" { … }",
    );
    check(
        "jbo \"a\" {}\n",
        r#"
test.hcl:1,1-4: Unsupported block type; Blocks of type "jbo" are not expected here. Did you mean "job"?
  1 | jbo "a" {}
    | ^^^
"#,
    );
    check(
        "job {}\n",
        r#"
test.hcl:1,5-6: Missing name for job; All job blocks must have 1 labels (name).
  1 | job {}
    |     ^
"#,
    );
}

#[test]
fn what_is_required_is_asked_for() {
    check(
        "job \"x\" {\n  task \"t\" {\n    lifecycle {\n      sidecar = true\n    }\n    action \"a\" {}\n  }\n}\n",
        r#"
test.hcl:3,5-14: Missing required argument; The argument "hook" is required, but no definition was found.
  3 |     lifecycle {
    |     ^^^^^^^^^
test.hcl:6,5-15: Missing required argument; The argument "command" is required, but no definition was found.
  6 |     action "a" {}
    |     ^^^^^^^^^^
"#,
    );
}

#[test]
fn columns_count_characters_and_long_lines_are_cut() {
    check(
        "job \"x\" {\n\tname = \"日本é\" + 1\n}\n",
        "test.hcl:2,9-14: Invalid operand; Unsuitable value for this operand: a number is required, but this is a string.\n  2 | \tname = \"日本é\" + 1\n    | \t       ^^^^^",
    );
    let long = format!("job \"x\" {{\n  nmae = \"{}\"\n}}\n", "a".repeat(10_000));
    assert!(job(&long).unwrap_err().to_string().len() < 1_000);
}

#[test]
fn errors_inside_of_locals_are_told_once() {
    check(
        "locals {\n  a = [1][5]\n}\njob \"x\" {\n  name = local.a\n  region = local.a\n}\n",
        r#"
test.hcl:2,10-13: Invalid index; There is no such element: 5 is not between 0 and 0.
  2 |   a = [1][5]
    |          ^^^
"#,
    );
}

#[test]
fn headlines_are_nomads_lines() {
    let errors = job("job \"x\" {\n  group \"g\" {\n    coutn = 1\n    x {\n    }\n  }\n}\n").unwrap_err();
    let expected = "test.hcl:3,5-10: Unsupported argument; An argument named \"coutn\" is not expected here. Did you mean \"count\"?\n\
                    test.hcl:4,5-6: Unsupported block type; Blocks of type \"x\" are not expected here.";
    assert_eq!(errors.headlines(), expected);
}
