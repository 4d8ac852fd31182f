package compat

import _ "github.com/hashicorp/nomad/api"
