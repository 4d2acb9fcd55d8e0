mock_provider "archive" {}

mock_provider "google" {}

variables {
  project = "darkroom-offline"
}

run "without_a_domain" {
  command = plan

  assert {
    condition = length(concat(
      google_compute_global_address.edge,
      google_compute_global_forwarding_rule.https,
      google_compute_managed_ssl_certificate.edge,
      google_compute_security_policy.edge,
      google_compute_ssl_policy.edge,
      google_compute_target_https_proxy.edge,
      google_compute_url_map.edge,
      google_compute_backend_service.edge,
      google_compute_region_network_endpoint_group.edge,
    )) == 0
    error_message = "Without a domain nothing is put before the functions."
  }

  assert {
    condition     = !contains(keys(google_project_service.api), "compute.googleapis.com")
    error_message = "Without a domain nothing needs the API that also makes a network."
  }

  assert {
    condition = alltrue([
      for name, function in google_cloudfunctions2_function.function :
      function.service_config[0].ingress_settings == (local.functions[name].public ? "ALLOW_ALL" : "ALLOW_INTERNAL_ONLY")
    ])
    error_message = "Without a domain public functions are called where Google puts them, and private ones by nobody."
  }

  assert {
    condition = alltrue([
      for function in google_cloudfunctions2_function.function :
      function.service_config[0].environment_variables.DARKROOM_PUBLIC_URL == "https://us-central1-darkroom-offline.cloudfunctions.net"
    ])
    error_message = "Without a domain links start with the host that Google gives."
  }
}

run "other_than_usual" {
  command = plan

  variables {
    domain              = "images.app.example"
    public_url          = "https://cdn.app.example"
    requests_per_minute = 7
  }

  assert {
    condition = [
      for rule in google_compute_security_policy.edge[0].rule :
      one(one(rule.rate_limit_options).rate_limit_threshold).count if rule.action == "throttle"
    ] == [7]
    error_message = "requests_per_minute is what the load balancer lets through."
  }

  assert {
    condition     = local.public_url == "https://cdn.app.example"
    error_message = "Links may start with another host, which stands before the domain."
  }
}

# Until then whoever calls the functions where they were finds them there.
run "domain_that_is_not_ready" {
  command = plan

  variables {
    domain = "images.app.example"
  }

  assert {
    condition     = length(google_compute_global_forwarding_rule.https) == 1
    error_message = "The load balancer is there before it is used."
  }

  assert {
    condition = alltrue([
      for name, function in google_cloudfunctions2_function.function :
      function.service_config[0].ingress_settings == (local.functions[name].public ? "ALLOW_ALL" : "ALLOW_INTERNAL_ONLY")
      && function.service_config[0].environment_variables.DARKROOM_PUBLIC_URL == "https://us-central1-darkroom-offline.cloudfunctions.net"
    ])
    error_message = "Nothing changes for callers until the domain is ready."
  }
}

run "domain_with_a_path" {
  command = plan

  variables {
    domain = "app.example/images"
  }

  expect_failures = [var.domain]
}
