job "l" { # comment
  group "g" { /* other */ task "a" { driver = "mock_driver" } task "b" { driver = "mock_driver" kill_timeout = "1s" } }
  periodic { cron = "*/5 * * * *" prohibit_overlap = true }
}
