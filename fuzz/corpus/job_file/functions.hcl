job "f" {
  meta {
    a = join(",", sort(distinct(["b", "a", "b"])))
    b = jsonencode({ x = [1, 2.5, null, true], y = regexall("[a-z]+", "ab 12 cd") })
    c = format("%05.2f %-8s|%q %#v", 3.14159, "left", "q", ["z"])
    d = cidrsubnet("10.0.0.0/8", 8, 2)
    e = try(yamldecode("a: [1, {b: c}]").a[1].b, "none")
    f = formatdate("YYYY-MM-DD", timeadd("2024-02-28T23:00:00Z", "26h"))
    g = strrev(base64encode(trimspace("  text  ")))
  }
  group "g" {
    task "t" { driver = "raw_exec" }
  }
}
