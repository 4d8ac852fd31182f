variable "image" {
  type    = string
  default = "web"
  validation {
    condition     = length(var.image) > 0
    error_message = "An image has a name."
  }
}
variable "ports" {
  type    = map(number)
  default = { http = 8080, admin = 0 }
}
locals {
  owner = upper("ops-${var.image}")
  twice = [for n in range(3) : n * 2 if n != 1]
}
job "shop" {
  datacenters = ["dc*"]
  type        = "service"
  priority    = 70
  meta { owner = local.owner }
  constraint {
    attribute = "${attr.kernel.name}"
    value     = "linux"
  }
  update {
    max_parallel = 2
    min_healthy_time = "5s"
  }
  group "front" {
    count = var.ports.http > 0 ? 2 : 1
    network {
      dynamic "port" {
        for_each = var.ports
        labels   = [port.key]
        content { to = port.value }
      }
    }
    restart {
      attempts = 3
      delay    = "10s"
      mode     = "fail"
    }
    task "serve" {
      driver = "raw_exec"
      config {
        command = "/usr/bin/python3"
        args    = ["-m", "http.server", "${NOMAD_PORT_http}"]
      }
      env {
        NOTE = <<-EOT
          two lines ${node.unique.name}
            of %{ if true }text%{ else }nothing%{ endif }
        EOT
      }
      resources {
        cpu    = 50
        memory = 64
      }
    }
  }
}
