job "broken" {
  groop "g" {
    count = "many"
    task "t" { driver = nope( }
