# The job that `make run` starts: a web server of Python's standard library on a port that nomadd picks.
job "hello" {
  group "web" {
    network {
      port "http" {}
    }

    task "server" {
      driver = "raw_exec"

      config {
        command = "python3"
        args    = ["-u", "-m", "http.server", "--bind", "127.0.0.1", "${NOMAD_PORT_http}"]
      }

      resources {
        cpu    = 100
        memory = 64
      }
    }

    update {
      min_healthy_time = "1s"
    }
  }
}
