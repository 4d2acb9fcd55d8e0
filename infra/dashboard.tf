# Charts three in a row, in the order of this list, and the errors below them. A line without a name
# has those of its labels. `__interval` is the width of a point, as the time shown makes it.
locals {
  _charts = [
    {
      title = "Requests by outcome"
      plot  = "STACKED_BAR"
      lines = { "" = <<-EOT
        sum by (outcome) (increase({"${local._ours}/requests", ${local._here}}[$${__interval}]))
      EOT
      }
    },
    {
      title = "Success rate by provider, %"
      plot  = "LINE"
      lines = { "" = <<-EOT
        100 * (
          sum by (provider) (increase({"${local._ours}/requests", ${local._here}, outcome="succeeded"}[$${__interval}]))
          or 0 * sum by (provider) (increase({"${local._ours}/requests", ${local._here}, outcome="failed"}[$${__interval}]))
        ) / sum by (provider) (increase({"${local._ours}/requests", ${local._here}, outcome=~"succeeded|failed"}[$${__interval}]))
      EOT
      }
    },
    {
      title = "Latency of requests that made pictures, s"
      plot  = "LINE"
      lines = { for name, quantile in { p50 = 0.5, p95 = 0.95 } : name => <<-EOT
        histogram_quantile(${quantile}, sum by (le) (increase({"${local._ours}/request_latency_bucket", ${local._here}, operation=~"generate|edit", outcome="succeeded"}[$${__interval}]))) / 1000
      EOT
      }
    },
    {
      title = "Cost by model, $"
      plot  = "STACKED_BAR"
      lines = { "" = <<-EOT
        sum by (model) (increase({"${local._ours}/cost_micros_sum", ${local._here}}[$${__interval}])) / 1000000
      EOT
      }
    },
    {
      title = "Charged, and what it cost, $"
      plot  = "LINE"
      lines = { for name, metric in { charged = "charged_micros", cost = "cost_micros" } : name => <<-EOT
        sum(increase({"${local._ours}/${metric}_sum", ${local._here}}[$${__interval}])) / 1000000
      EOT
      }
    },
    {
      title = "Tokens"
      plot  = "LINE"
      lines = { for name, metric in { input = "input_tokens", output = "output_tokens" } : name => <<-EOT
        sum(increase({"${local._ours}/${metric}_sum", ${local._here}}[$${__interval}]))
      EOT
      }
    },
    {
      title = "Pictures by model"
      plot  = "STACKED_BAR"
      lines = { "" = <<-EOT
        sum by (model) (increase({"${local._ours}/pictures_sum", ${local._here}}[$${__interval}]))
      EOT
      }
    },
    {
      title = "Provider calls by outcome"
      plot  = "STACKED_BAR"
      lines = { "" = <<-EOT
        sum by (provider, outcome) (increase({"${local._ours}/calls", ${local._here}}[$${__interval}]))
      EOT
      }
    },
    {
      title = "p95 latency of provider calls that succeeded, s"
      plot  = "LINE"
      lines = { "" = <<-EOT
        histogram_quantile(0.95, sum by (provider, le) (increase({"${local._ours}/call_latency_bucket", ${local._here}, outcome="succeeded"}[$${__interval}]))) / 1000
      EOT
      }
    },
    {
      title = "Providers found down"
      plot  = "STACKED_BAR"
      lines = { "" = <<-EOT
        sum by (provider) (increase({"${local._ours}/providers_downed", ${local._here}}[$${__interval}]))
      EOT
      }
    },
    {
      title = "HTTP answers by function"
      plot  = "STACKED_BAR"
      lines = { "" = <<-EOT
        sum by (service_name, response_code_class) (increase({"${local._run}/request_count", ${local._all}}[$${__interval}]))
      EOT
      }
    },
    {
      title = "Instances by function"
      plot  = "LINE"
      lines = { "" = <<-EOT
        sum by (service_name) (max_over_time({"${local._run}/container/instance_count", ${local._all}}[$${__interval}]))
      EOT
      }
    },
    {
      title = "Requests at once in an instance, p99"
      plot  = "LINE"
      lines = { "" = <<-EOT
        histogram_quantile(0.99, sum by (service_name, le) (increase({"${local._run}/container/max_request_concurrencies_bucket", ${local._all}}[$${__interval}])))
      EOT
      }
    },
    {
      title = "Dead letters"
      plot  = "LINE"
      lines = { "" = <<-EOT
        max by (subscription_id) (max_over_time({"${local._pubsub}/num_undelivered_messages", ${local._dead}}[$${__interval}]))
      EOT
      }
    },
    {
      title = "Age of the oldest event, s"
      plot  = "LINE"
      lines = { "" = <<-EOT
        max by (subscription_id) (max_over_time({"${local._pubsub}/oldest_unacked_message_age", ${local._pushed}}[$${__interval}]))
      EOT
      }
    },
  ]

  _across = 3
  _width  = 16
  _height = 12

  _tiles = [
    for n, chart in local._charts : {
      x      = (n % local._across) * local._width
      y      = floor(n / local._across) * local._height
      width  = local._width
      height = local._height
      widget = {
        title = chart.title
        xyChart = {
          dataSets = [
            for legend, query in chart.lines : merge(
              { plotType = chart.plot, timeSeriesQuery = { prometheusQuery = trimspace(query) } },
              legend == "" ? {} : { legendTemplate = legend },
            )
          ]
        }
      }
    }
  ]

  _errors = {
    x      = 0
    y      = ceil(length(local._charts) / local._across) * local._height
    width  = local._across * local._width
    height = 16
    widget = {
      title     = "Errors"
      logsPanel = { filter = "${local._lines}\nseverity>=ERROR" }
    }
  }
}

resource "google_monitoring_dashboard" "dashboard" {
  dashboard_json = jsonencode({
    displayName = "Darkroom"
    mosaicLayout = {
      columns = 48
      tiles = [
        for tile in concat(local._tiles, [local._errors]) : merge(
          { width = tile.width, height = tile.height, widget = tile.widget },
          # What is 0 does not come back from the API, and would be a change in every plan.
          { for name, value in { xPos = tile.x, yPos = tile.y } : name => value if value > 0 },
        )
      ]
    }
  })

  depends_on = [google_project_service.api]
}
