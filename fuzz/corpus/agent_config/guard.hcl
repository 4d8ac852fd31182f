data_dir = "relative"
acl { enabled = true }
tls {
  http = true
  ca_file = "/ca"
}
server {
  enabled = "yes"
  bootstrap_expect = 3
  server_join { retry_join = ["a", "b"] }
}
