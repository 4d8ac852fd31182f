//! What each function answers.

use std::collections::BTreeSet;

use super::{value, value_with};
use crate::{FileError, Files, function_names};

fn check(table: &[(&str, &str)]) {
    for (expression, expected) in table {
        assert_eq!(value(expression).as_deref(), Ok(*expected), "{expression}");
    }
}

fn refused(table: &[(&str, &str)]) {
    for (expression, reason) in table {
        let error = value(expression).expect_err(expression);
        assert!(error.contains(reason), "{expression}: {error}");
    }
}

#[test]
fn there_are_nomads_83_functions() {
    let names = function_names();
    assert_eq!(names.len(), 83);
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 83);
}

#[test]
fn functions_on_numbers() {
    check(&[
        ("abs(-12.5)", "12.5"),
        ("ceil(5.1)", "6"),
        ("ceil(-5.1)", "-5"),
        ("floor(4.9)", "4"),
        ("floor(-4.1)", "-5"),
        ("log(16, 2)", "4"),
        ("max(1, 5, \"7\")", "7"),
        ("min(3, -1.5)", "-1.5"),
        ("parseint(\"FF\", 16)", "255"),
        ("parseint(\"-1011\", 2)", "-11"),
        ("parseint(\"aA\", 62)", "656"),
        ("pow(2, 8)", "256"),
        ("pow(4, 0.5)", "2"),
        ("signum(-13)", "-1"),
        ("signum(0)", "0"),
        ("signum(7.5)", "1"),
    ]);
    refused(&[
        ("max()", "at least one"),
        ("parseint(\"12\", 2)", "cannot parse"),
        ("parseint(\"12\", 63)", "between 2 and 62"),
        ("log(0, 10)", "finite"),
        ("abs(\"x\")", "a number is required"),
        ("abs(null)", "must not be null"),
    ]);
}

#[test]
fn functions_on_texts() {
    check(&[
        ("chomp(\"a\\r\\n\\n\")", "\"a\""),
        ("indent(2, \"a\\nb\\nc\")", "\"a\\n  b\\n  c\""),
        ("join(\", \", [\"a\", 1, true])", "\"a, 1, true\""),
        ("join(\"-\", [\"a\"], [\"b\"])", "\"a-b\""),
        ("lower(\"ÄB\")", "\"äb\""),
        ("upper(\"é\")", "\"É\""),
        ("title(\"hello wide world\")", "\"Hello Wide World\""),
        ("replace(\"1 + 2 + 3\", \"+\", \"-\")", "\"1 - 2 - 3\""),
        ("regex_replace(\"hello world\", \"(w)(o)\", \"$2$1\")", "\"hello owrld\""),
        ("regex_replace(\"aaa\", \"a\", \"$${0}b\")", "\"ababab\""),
        ("reverse(\"héllo\")", "\"olléh\""),
        ("strrev(\"abc\")", "\"cba\""),
        ("strlen(\"👍🏽é\")", "2"),
        ("split(\",\", \"a,b,,c\")", "[\"a\",\"b\",\"\",\"c\"]"),
        ("split(\",\", \"\")", "[\"\"]"),
        ("substr(\"hello world\", 1, 4)", "\"ello\""),
        ("substr(\"hello world\", -5, -1)", "\"world\""),
        ("substr(\"🤔🤷\", 0, 1)", "\"🤔\""),
        ("substr(\"abc\", 5, 2)", "\"\""),
        ("trim(\"?!hello?!\", \"!?\")", "\"hello\""),
        ("trimprefix(\"helloworld\", \"hello\")", "\"world\""),
        ("trimsuffix(\"helloworld\", \"world\")", "\"hello\""),
        ("trimspace(\"  a\\n\")", "\"a\""),
    ]);
    refused(&[
        ("regex_replace(\"a\", \"(\", \"\")", "invalid regular expression"),
        ("indent(-1, \"a\")", "negative"),
        ("indent(100000000, \"a\\nb\")", "larger than"),
        ("join(\",\", \"a\")", "a list is required"),
        ("join(\",\", [[1]])", "string required"),
    ]);
}

#[test]
fn formats_follow_go() {
    check(&[
        ("format(\"Hello, %s!\", \"Ander\")", "\"Hello, Ander!\""),
        ("format(\"%5d|%-5d|%05d|%+d\", 42, 42, 42, 42)", "\"   42|42   |00042|+42\""),
        ("format(\"%.2f %f %e\", 3.14159, 1, 12345.678)", "\"3.14 1.000000 1.234568e+04\""),
        ("format(\"%x %X %o %b %#x\", 255, 255, 8, 5, 255)", "\"ff FF 10 101 0xff\""),
        ("format(\"%q %t %%\", \"a\\\"b\", true)", "\"\\\"a\\\\\\\"b\\\" true %\""),
        ("format(\"%v %v %v\", [1, \"a\"], {a = 1}, null)", "\"[1,\\\"a\\\"] {\\\"a\\\":1} null\""),
        ("format(\"%[2]s %[1]s\", \"a\", \"b\")", "\"b a\""),
        ("format(\"%10s|%-6s|%.2s\", \"ab\", \"ab\", \"abc\")", "\"        ab|ab    |ab\""),
        ("format(\"%06.2f\", -1.5)", "\"-01.50\""),
        ("formatlist(\"Hello, %s%s!\", [\"A\", \"B\"], \".\")", "[\"Hello, A.!\",\"Hello, B.!\"]"),
        ("formatlist(\"x%d\", [])", "[]"),
    ]);
    refused(&[
        ("format(\"%s\")", "not enough arguments"),
        ("format(\"%d\", \"x\")", "a number is required"),
        ("format(\"%s\", 1, 2)", "too many arguments"),
        ("format(\"%y\", 1)", "is no format verb"),
        ("format(\"%\")", "unterminated"),
        ("format(\"%999999999d\", 1)", "at most"),
        ("formatlist(\"%s%s\", [1], [1, 2])", "elements, but argument"),
    ]);
}

#[test]
fn functions_on_collections() {
    check(&[
        ("chunklist([1, 2, 3, 4, 5], 2)", "[[1,2],[3,4],[5]]"),
        ("chunklist([1, 2], 0)", "[[1,2]]"),
        ("coalesce(null, \"\", \"b\")", "\"b\""),
        ("coalesce(\"\", 1)", "\"1\""),
        ("coalescelist([], [\"a\"])", "[\"a\"]"),
        ("compact([\"a\", \"\", \"b\", null])", "[\"a\",\"b\"]"),
        ("concat([1], [], [\"a\", [2]])", "[1,\"a\",[2]]"),
        ("contains([\"a\", 1], 1)", "true"),
        ("contains([\"a\"], \"b\")", "false"),
        ("distinct([\"b\", \"a\", \"b\", \"c\", \"a\"])", "[\"b\",\"a\",\"c\"]"),
        ("element([\"a\", \"b\", \"c\"], 4)", "\"b\""),
        ("flatten([[\"a\", [\"b\"]], [], \"c\"])", "[\"a\",\"b\",\"c\"]"),
        ("index([\"a\", \"b\"], 1)", "\"b\""),
        ("keys({b = 1, a = 2})", "[\"a\",\"b\"]"),
        ("values({b = 1, a = 2})", "[2,1]"),
        ("length([1, 2])", "2"),
        ("length(convert({a = 1}, map(number)))", "1"),
        ("lookup({a = \"1\"}, \"a\", \"d\")", "\"1\""),
        ("lookup({a = \"1\"}, \"z\", \"d\")", "\"d\""),
        ("merge({a = 1, b = 1}, {b = 2}, null)", "{\"a\":1,\"b\":2}"),
        ("range(3)", "[0,1,2]"),
        ("range(1, 4)", "[1,2,3]"),
        ("range(4, 1, -1.5)", "[4,2.5]"),
        ("range(0, -2)", "[0,-1]"),
        ("setintersection([\"a\", \"b\"], [\"c\", \"b\"])", "[\"b\"]"),
        ("setproduct([\"a\", \"b\"], [1, 2])", "[[\"a\",1],[\"a\",2],[\"b\",1],[\"b\",2]]"),
        ("setunion([\"b\", \"a\"], [\"c\", \"a\"])", "[\"a\",\"b\",\"c\"]"),
        ("slice([\"a\", \"b\", \"c\", \"d\"], 1, 3)", "[\"b\",\"c\"]"),
        ("sort([\"e\", \"d\", \"a\"])", "[\"a\",\"d\",\"e\"]"),
        ("zipmap([\"a\", \"b\"], [1, 2])", "{\"a\":1,\"b\":2}"),
    ]);
    refused(&[
        ("coalesce(null)", "null or empty"),
        ("element([], 0)", "list is empty"),
        ("element([1], -1)", "negative"),
        ("index([1], 1)", "not between 0 and 0"),
        ("length({a = 1})", "convert"),
        ("length(\"abc\")", "a list, set or map is required"),
        ("lookup({}, \"a\")", "failed to find"),
        ("range(0, 1, 0)", "must not be zero"),
        ("range(2000)", "1024"),
        ("slice([1], 0, 2)", "end index"),
        ("zipmap([\"a\"], [])", "do not go with"),
        ("keys([1])", "a map is required"),
    ]);
}

#[test]
fn functions_on_encodings() {
    check(&[
        ("base64encode(\"héllo\")", "\"aMOpbGxv\""),
        ("base64decode(\"aMOpbGxv\")", "\"héllo\""),
        ("csvdecode(\"a,b\\n1,2\\n\\\"x,y\\\",4\\n\")", "[{\"a\":\"1\",\"b\":\"2\"},{\"a\":\"x,y\",\"b\":\"4\"}]"),
        ("jsondecode(\"{\\\"a\\\":[1,2.5,null,true]}\")", "{\"a\":[1,2.5,null,true]}"),
        ("jsonencode({b = 1, a = \"x<y&\"})", "\"{\\\"a\\\":\\\"x\\\\u003cy\\\\u0026\\\",\\\"b\\\":1}\""),
        ("urlencode(\"a b&c/é~\")", "\"a+b%26c%2F%C3%A9~\""),
        ("yamldecode(\"a: 1\\nb: [x, \\\"2\\\", true, null, 1.5]\\n\")", "{\"a\":1,\"b\":[\"x\",\"2\",true,null,1.5]}"),
        (
            "yamldecode(\"x: &a {k: 1}\\ny: *a\\nz:\\n  <<: *a\\n  l: 2\\n\")",
            "{\"x\":{\"k\":1},\"y\":{\"k\":1},\"z\":{\"k\":1,\"l\":2}}",
        ),
        (
            "yamlencode({foo = [1, {a = \"b\", c = \"d\"}, 3], bar = \"baz\", e = [], m = {n = {o = true}}})",
            "\"\\\"bar\\\": \\\"baz\\\"\\n\\\"e\\\": []\\n\\\"foo\\\":\\n- 1\\n- \\\"a\\\": \\\"b\\\"\\n  \\\"c\\\": \\\"d\\\"\\n- 3\\n\\\"m\\\":\\n  \\\"n\\\":\\n    \\\"o\\\": true\\n\"",
        ),
        (
            "yamldecode(yamlencode({a = [[1, 2], {b = \"x\\ny\\n\"}], c = null}))",
            "{\"a\":[[1,2],{\"b\":\"x\\ny\\n\"}],\"c\":null}",
        ),
    ]);
    refused(&[
        ("base64decode(\"%%\")", "base64"),
        ("base64decode(\"/w==\")", "UTF-8"),
        ("jsondecode(\"{\")", "member name"),
        ("csvdecode(\"a,a\\n1,2\")", "duplicate column"),
        ("yamldecode(\"a: [\")", "not valid YAML"),
        ("yamldecode(\"a: *b\")", "YAML"),
    ]);
}

#[test]
fn hashes_and_ids() {
    check(&[
        ("md5(\"hello world\")", "\"5eb63bbbe01eeed093cb22bb8f5acdc3\""),
        ("sha1(\"hello world\")", "\"2aae6c35c94fcfb415dbe95f408b9ce91ee846ed\""),
        ("sha256(\"hello world\")", "\"b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9\""),
        ("substr(sha512(\"hello world\"), 0, 16)", "\"309ecc489c12d6eb\""),
        ("uuidv5(\"dns\", \"www.terraform.io\")", "\"a5008fae-b28c-5ba5-96cd-82b4c53552d6\""),
        (
            "uuidv5(\"6ba7b810-9dad-11d1-80b4-00c04fd430c8\", \"www.terraform.io\")",
            "\"a5008fae-b28c-5ba5-96cd-82b4c53552d6\"",
        ),
        ("strlen(uuidv4())", "36"),
        ("uuidv4() == uuidv4()", "false"),
        ("substr(bcrypt(\"hello\", 4), 0, 7)", "\"$2a$04$\""),
    ]);
    assert_eq!(value("uuidv4()"), value("uuidv4()"), "the same seed makes the same ids");
    refused(&[
        ("uuidv5(\"nope\", \"x\")", "namespace"),
        ("bcrypt(\"a\", 31)", "makes more than"),
        ("bcrypt(\"a\", 99)", "between 4 and 31"),
        ("rsadecrypt(\"AAAA\", \"no key\")", "failed to parse key"),
    ]);
}

/// A key of 512 bits made for this test, and "hi" encrypted for it.
#[test]
fn rsadecrypt_undoes_pkcs1_padding() {
    use num_bigint::BigUint;
    // Textbook: padding around the message, then the public exponent by hand.
    let (modulus, public, pem) = super::robust::small_rsa_key();
    let mut padded = vec![0, 2];
    padded.extend(std::iter::repeat_n(7, 64 - 3 - 2));
    padded.extend([0, b'h', b'i']);
    let cipher = BigUint::from_bytes_be(&padded).modpow(&public, &modulus).to_bytes_be();
    let cipher: Vec<u8> = std::iter::repeat_n(0, 64 - cipher.len()).chain(cipher).collect();
    let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, cipher);
    let expression = format!("rsadecrypt({text:?}, {pem:?})");
    assert_eq!(value(&expression).as_deref(), Ok("\"hi\""));
}

#[test]
fn functions_on_dates_and_networks() {
    check(&[
        ("formatdate(\"DD MMM YYYY hh:mm ZZZ\", \"2018-01-02T23:12:01Z\")", "\"02 Jan 2018 23:12 UTC\""),
        (
            "formatdate(\"EEEE, DD-MMM-YY hh:mm:ss ZZZ\", \"2018-01-02T23:12:01Z\")",
            "\"Tuesday, 02-Jan-18 23:12:01 UTC\"",
        ),
        (
            "formatdate(\"EEE, DD MMM YYYY hh:mm:ss ZZZ\", \"2018-01-02T23:12:01-08:00\")",
            "\"Tue, 02 Jan 2018 23:12:01 -0800\"",
        ),
        (
            "formatdate(\"h'h'mm HH aa Z ZZZZZ 'it''s'\", \"2018-01-02T23:12:01+01:00\")",
            "\"23h12 11 pm +01:00 +01:00 it's\"",
        ),
        ("timeadd(\"2017-11-22T00:00:00Z\", \"10m\")", "\"2017-11-22T00:10:00Z\""),
        ("timeadd(\"2017-11-22T00:00:00+02:00\", \"-1h30m\")", "\"2017-11-21T22:30:00+02:00\""),
        ("cidrhost(\"10.12.127.0/20\", 16)", "\"10.12.112.16\""),
        ("cidrhost(\"10.12.127.0/20\", -1)", "\"10.12.127.255\""),
        ("cidrhost(\"fd00:fd12:3456:7890::/56\", 34)", "\"fd00:fd12:3456:7800::22\""),
        ("cidrnetmask(\"172.16.0.0/12\")", "\"255.240.0.0\""),
        ("cidrsubnet(\"172.16.0.0/12\", 4, 2)", "\"172.18.0.0/16\""),
        ("cidrsubnet(\"fd00:fd12:3456:7890::/56\", 16, 162)", "\"fd00:fd12:3456:7800:a200::/72\""),
        (
            "cidrsubnets(\"10.1.0.0/16\", 4, 4, 8, 4)",
            "[\"10.1.0.0/20\",\"10.1.16.0/20\",\"10.1.32.0/24\",\"10.1.48.0/20\"]",
        ),
        ("cidrsubnets(\"::/0\", 1, 1)", "[\"::/1\",\"8000::/1\"]"),
    ]);
    refused(&[
        ("formatdate(\"YYY\", \"2018-01-02T23:12:01Z\")", "invalid date format verb"),
        ("formatdate(\"'x\", \"2018-01-02T23:12:01Z\")", "unterminated literal"),
        ("formatdate(\"YYYY\", \"yesterday\")", "RFC3339"),
        ("timeadd(\"2017-11-22T00:00:00Z\", \"soon\")", "invalid duration"),
        ("cidrhost(\"10.0.0.0/30\", 4)", "has no host"),
        ("cidrhost(\"nope\", 4)", "invalid CIDR"),
        ("cidrnetmask(\"::/64\")", "IPv6"),
        ("cidrsubnet(\"10.0.0.0/30\", 3, 0)", "cannot extend"),
        ("cidrsubnet(\"10.0.0.0/8\", 2, 4)", "give no network"),
        ("cidrsubnets(\"10.0.0.0/30\", 1, 1, 1)", "no room left"),
    ]);
}

#[test]
fn try_can_and_convert_look_before_they_evaluate() {
    check(&[
        ("try([1][5], \"x\")", "\"x\""),
        ("try(jsondecode(\"{\"), [1][9], 3)", "3"),
        ("can([1][5])", "false"),
        ("can(1 + 1)", "true"),
        ("convert(\"5\", number)", "5"),
        ("convert([1, 2], list(string))", "[\"1\",\"2\"]"),
        ("convert([1, \"a\"], list(any))", "[\"1\",\"a\"]"),
        ("convert([\"b\", \"a\", \"b\"], set(string))", "[\"a\",\"b\"]"),
        ("convert({a = 1}, map(string))", "{\"a\":\"1\"}"),
        ("convert({a = 1, b = 2}, object({a = string}))", "{\"a\":\"1\"}"),
        ("convert({}, object({a = optional(string), b = optional(number, 7)}))", "{\"a\":null,\"b\":7}"),
        ("convert([1, \"x\"], tuple([string, string]))", "[\"1\",\"x\"]"),
    ]);
    refused(&[
        ("try([1][5])", "no expression succeeded"),
        ("convert(\"x\", number)", "a number required"),
        ("convert({}, object({a = string}))", "attribute \"a\" is required"),
        ("convert([{p = \"x\"}], list(object({p = number})))", "[0].p"),
        ("convert(1, strin)", "is no type"),
        ("nope(1)", "There is no function named \"nope\""),
        ("uper(\"a\")", "Did you mean \"upper\"?"),
        ("upper()", "expects 1 argument(s). Missing value for \"str\""),
        ("upper(\"a\", \"b\")", "expects only 1"),
    ]);
}

struct OneFile;

impl Files for OneFile {
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        match path {
            "a/b.txt" | "/home/me/b.txt" => Ok(b"content".to_vec()),
            "binary" => Ok(vec![0xff, 0xfe]),
            "locked" => Err(FileError::Failed("permission denied".to_owned())),
            _ => Err(FileError::NotFound),
        }
    }
    fn exists(&self, path: &str) -> Result<bool, FileError> {
        self.read(path).map(|_| true)
    }
    fn list(&self, folder: &str) -> Result<Vec<String>, FileError> {
        let all = ["b.txt", "c.md", "sub/d.txt", "sub/deep/e.txt"];
        if folder == "a" { Ok(all.map(str::to_owned).to_vec()) } else { Err(FileError::NotFound) }
    }
    fn home(&self) -> Option<String> {
        Some("/home/me".to_owned())
    }
    fn current(&self) -> String {
        "/srv/here".to_owned()
    }
}

#[test]
fn functions_on_files_use_what_the_caller_lends() {
    for (expression, expected) in [
        ("file(\"a/b.txt\")", "\"content\""),
        ("file(\"~/b.txt\")", "\"content\""),
        ("filebase64(\"binary\")", "\"//4=\""),
        ("fileexists(\"a/b.txt\")", "true"),
        ("fileexists(\"a/c.txt\")", "false"),
        ("fileset(\"a\", \"*.txt\")", "[\"b.txt\"]"),
        ("fileset(\"a\", \"**/*.txt\")", "[\"b.txt\",\"sub/d.txt\",\"sub/deep/e.txt\"]"),
        ("fileset(\"a\", \"*.{txt,md}\")", "[\"b.txt\",\"c.md\"]"),
        ("pathexpand(\"~/x\")", "\"/home/me/x\""),
        ("pathexpand(\"/x\")", "\"/x\""),
        ("abspath(\"../there/./x\")", "\"/srv/there/x\""),
        ("basename(\"/a/b.c\")", "\"b.c\""),
        ("dirname(\"/a/b.c\")", "\"/a\""),
        ("dirname(\"b.c\")", "\".\""),
        ("basename(\"\")", "\".\""),
        ("basename(\"/\")", "\"/\""),
    ] {
        assert_eq!(value_with(expression, Some(&OneFile)).as_deref(), Ok(expected), "{expression}");
    }
    for (expression, reason) in [
        ("file(\"nope\")", "no file exists at nope"),
        ("file(\"locked\")", "permission denied"),
        ("file(\"binary\")", "not valid UTF-8"),
    ] {
        let error = value_with(expression, Some(&OneFile)).expect_err(expression);
        assert!(error.contains(reason), "{expression}: {error}");
    }
}

#[test]
fn without_files_every_function_on_files_is_refused() {
    for name in ["abspath", "basename", "dirname", "file", "filebase64", "fileexists", "pathexpand"] {
        let error = value(&format!("{name}(\"x\")")).expect_err(name);
        assert!(error.contains("disabled"), "{name}: {error}");
    }
    assert!(value("fileset(\"a\", \"*\")").is_err());
}
