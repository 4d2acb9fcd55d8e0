mock_provider "archive" {}

mock_provider "google" {}

variables {
  project = "darkroom-offline"
}

run "nobody_is_told" {
  command = plan

  variables {
    alert_spend_usd = null
  }

  assert {
    condition     = length(google_billing_budget.month) == 0
    error_message = "Without a billing account there is nothing to set a budget on."
  }

  assert {
    condition     = !contains(keys(google_project_service.api), "billingbudgets.googleapis.com")
    error_message = "Without a budget its API is not needed."
  }

  assert {
    condition     = keys(google_monitoring_alert_policy.alert) == ["dead", "errors", "latency", "provider", "sweep"]
    error_message = "Without a sum no day costs too much; the rest shows in the console."
  }
}

run "a_small_budget" {
  command = plan

  variables {
    billing_account = "012345-6789AB-CDEF01"
    monthly_budget  = 5
  }

  assert {
    condition = (
      one(one(google_billing_budget.month["012345-6789AB-CDEF01"].amount).specified_amount).units == "5"
      && length(google_billing_budget.month["012345-6789AB-CDEF01"].all_updates_rule) == 0
    )
    error_message = "Where nobody is named, only the billing account's administrators hear of it."
  }
}

# The address is each channel's key, so all of a plan's are known; a budget takes five.
run "many_are_told" {
  command = apply

  variables {
    alert_emails    = [for n in range(7) : "ops${n}@app.example"]
    billing_account = "012345-6789AB-CDEF01"
  }

  assert {
    condition = length(
      one(google_billing_budget.month["012345-6789AB-CDEF01"].all_updates_rule).monitoring_notification_channels
    ) == 5
    error_message = "A budget with more than five channels is refused."
  }

  assert {
    condition     = length(google_monitoring_alert_policy.alert["sweep"].notification_channels) == 7
    error_message = "Everybody named hears of an alert."
  }
}

run "a_latency_below_a_second" {
  command = plan

  variables {
    alert_latency_s = 0.5
  }

  assert {
    condition = strcontains(
      google_monitoring_alert_policy.alert["latency"].conditions[0].condition_prometheus_query_language[0].query, " > 500\n"
    )
    error_message = "The metric is in milliseconds."
  }
}
