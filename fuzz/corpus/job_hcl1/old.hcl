job "legacy" {
  datacenters = ["dc1",]
  "type" = "batch"
  vault_token = "none"
  group "g" {
    count = 0x2
    task "t" {
      driver = "raw_exec",
      config { "command" = "/bin/echo", "args" = ["a", "b",] }
      env = { KEY = "value with \"quotes\" and ${attr.cpu.arch}" }
      template {
        data = <<EOH
plain text
EOH
        destination = "local/x"
      }
    }
  }
}
