# Only with a domain: one URL for all public functions, behind a load balancer that turns floods away.
locals {
  _edges = var.domain == null ? 0 : 1
}

resource "google_compute_global_address" "edge" {
  count = local._edges

  name = "darkroom"

  depends_on = [google_project_service.api]
}

# The first part of a path is the name of the service it goes to, whole; a function answers under its
# own name. Private ones refuse what comes from outside, so their names lead nowhere.
resource "google_compute_region_network_endpoint_group" "edge" {
  count = local._edges

  name                  = "darkroom"
  region                = var.region
  network_endpoint_type = "SERVERLESS"

  cloud_run {
    url_mask = "/<service>"
  }

  depends_on = [google_project_service.api]
}

# How long a request may take is the function's own affair: here Google takes no timeout.
resource "google_compute_backend_service" "edge" {
  count = local._edges

  name                  = "darkroom"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  security_policy       = google_compute_security_policy.edge[0].id

  custom_response_headers = ["Strict-Transport-Security: max-age=31536000"]

  backend {
    group = google_compute_region_network_endpoint_group.edge[0].id
  }

  # Every request that reaches a function is logged there; this shows what is turned away.
  log_config {
    enable      = true
    sample_rate = 0.1
  }
}

# No rules that look for attacks in what is sent: they read prompts and pictures, would turn honest
# ones away, and what they guard (databases of SQL, Java's log4j) is not here.
resource "google_compute_security_policy" "edge" {
  count = local._edges

  name = "darkroom"

  # Not by key as well: who makes up a new one for each request would never be stopped. What a key
  # may do is counted in the functions.
  rule {
    priority    = 1000
    action      = "throttle"
    description = "What one address may ask for in a minute"

    match {
      versioned_expr = "SRC_IPS_V1"
      config {
        src_ip_ranges = ["*"]
      }
    }

    rate_limit_options {
      conform_action = "allow"
      exceed_action  = "deny(429)"
      enforce_on_key = "IP"

      rate_limit_threshold {
        count        = var.requests_per_minute
        interval_sec = 60
      }
    }
  }

  # Every policy has to end with this one.
  rule {
    priority    = 2147483647
    action      = "allow"
    description = "Everybody"

    match {
      versioned_expr = "SRC_IPS_V1"
      config {
        src_ip_ranges = ["*"]
      }
    }
  }

  depends_on = [google_project_service.api]
}

resource "google_compute_url_map" "edge" {
  count = local._edges

  name            = "darkroom"
  default_service = google_compute_backend_service.edge[0].id
}

# Ready some time after the domain's DNS record points at the address.
resource "google_compute_managed_ssl_certificate" "edge" {
  count = local._edges

  # Another domain needs another certificate before this one may go.
  name = "darkroom-${substr(sha256(var.domain), 0, 8)}"

  managed {
    domains = [var.domain]
  }

  depends_on = [google_project_service.api]

  lifecycle {
    create_before_destroy = true
  }
}

resource "google_compute_ssl_policy" "edge" {
  count = local._edges

  name            = "darkroom"
  profile         = "RESTRICTED"
  min_tls_version = "TLS_1_2"

  depends_on = [google_project_service.api]
}

resource "google_compute_target_https_proxy" "edge" {
  count = local._edges

  name             = "darkroom"
  url_map          = google_compute_url_map.edge[0].id
  ssl_certificates = [google_compute_managed_ssl_certificate.edge[0].id]
  ssl_policy       = google_compute_ssl_policy.edge[0].id
}

# There is no port 80: a key that was sent there would be out before any redirect.
resource "google_compute_global_forwarding_rule" "https" {
  count = local._edges

  name                  = "darkroom-https"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.edge[0].id
  port_range            = "443"
  target                = google_compute_target_https_proxy.edge[0].id
}
