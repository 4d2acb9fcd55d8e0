# Only with a domain: one URL for all public functions, behind a load balancer that turns floods away.
locals {
  # By what each is deployed as. A private function is in front of nobody.
  _edge = {
    for name, function in local.functions : name => replace(name, "_", "-")
    if function.public && var.domain != null
  }

  _edges = var.domain == null ? 0 : 1
}

resource "google_compute_global_address" "edge" {
  count = local._edges

  name = "darkroom"

  depends_on = [google_project_service.api]
}

resource "google_compute_region_network_endpoint_group" "function" {
  for_each = local._edge

  name                  = "darkroom-${each.value}"
  region                = var.region
  network_endpoint_type = "SERVERLESS"

  cloud_run {
    # Not taken from the function itself: what a backend refers to is made before it is destroyed, as
    # the backend is, and there cannot be two functions of one name.
    service = each.value
  }

  depends_on = [google_project_service.api]
}

# How long a request may take is the function's own affair: here Google takes no timeout, and a POST
# is never sent twice.
resource "google_compute_backend_service" "function" {
  for_each = local._edge

  name                  = "darkroom-${each.value}"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  security_policy       = google_compute_security_policy.edge[0].id

  custom_response_headers = ["Strict-Transport-Security: max-age=31536000"]

  backend {
    group = google_compute_region_network_endpoint_group.function[each.key].id
  }

  # Every request that reaches a function is logged there; this shows what is turned away.
  log_config {
    enable      = true
    sample_rate = 0.1
  }

  # Google refuses to delete a backend that the URL map still names: the map has to change first.
  lifecycle {
    create_before_destroy = true
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
    description = "What one address may ask of one function in a minute"

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

# A function answers under its names, as `make run` has it; whatever nobody is called goes to the
# catalogue, which lists the models at / and says of the rest in JSON that it is not there.
resource "google_compute_url_map" "edge" {
  count = local._edges

  name            = "darkroom"
  default_service = google_compute_backend_service.function["models"].id

  host_rule {
    hosts        = ["*"]
    path_matcher = "functions"
  }

  path_matcher {
    name            = "functions"
    default_service = google_compute_backend_service.function["models"].id

    dynamic "path_rule" {
      for_each = local._edge
      content {
        paths = flatten([
          for known in distinct([path_rule.key, path_rule.value]) : ["/${known}", "/${known}/*"]
        ])
        service = google_compute_backend_service.function[path_rule.key].id
      }
    }
  }
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

resource "google_compute_global_forwarding_rule" "https" {
  count = local._edges

  name                  = "darkroom-https"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.edge[0].id
  port_range            = "443"
  target                = google_compute_target_https_proxy.edge[0].id
}

resource "google_compute_url_map" "redirect" {
  count = local._edges

  name = "darkroom-redirect"

  default_url_redirect {
    https_redirect         = true
    redirect_response_code = "PERMANENT_REDIRECT" # a POST stays one
    strip_query            = false
  }

  depends_on = [google_project_service.api]
}

resource "google_compute_target_http_proxy" "redirect" {
  count = local._edges

  name    = "darkroom-redirect"
  url_map = google_compute_url_map.redirect[0].id
}

resource "google_compute_global_forwarding_rule" "http" {
  count = local._edges

  name                  = "darkroom-http"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.edge[0].id
  port_range            = "80"
  target                = google_compute_target_http_proxy.redirect[0].id
}
